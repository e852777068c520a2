package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/slipwayhq/slipway/internal/proc"
)

// Record is one fact in the journal. Which fields count depends on Kind.
type Record struct {
	Kind    RecordKind `json:"k"`
	Attempt string     `json:"a,omitempty"`
	Rollout string     `json:"r,omitempty"`
	Epoch   int64      `json:"e,omitempty"`
	// Payload is the SHA-256 of the job that the attempt was started with.
	Payload   []byte    `json:"p,omitempty"`
	Exclusive bool      `json:"x,omitempty"`
	Shim      *proc.Ref `json:"s,omitempty"`
	// Result is a marshalled agentrpc.Result.
	Result []byte `json:"o,omitempty"`
}

// RecordKind says what a record states.
type RecordKind string

// The kinds of record.
const (
	// RecordEpoch: no order of a lower epoch counts for the rollout any more.
	RecordEpoch RecordKind = "epoch"
	// RecordStarting: the attempt is about to start; written before its shim.
	RecordStarting RecordKind = "starting"
	// RecordRunning: the shim has claimed the attempt.
	RecordRunning RecordKind = "running"
	// RecordEnded: the attempt's result. It never changes (invariant I7).
	RecordEnded RecordKind = "ended"
	// RecordClosed: a tombstone: the attempt was never seen and never starts.
	RecordClosed RecordKind = "closed"
	// RecordForgotten: the server has the result; only the id is kept, so that
	// a late copy of the start order still starts nothing (abuse 12).
	RecordForgotten RecordKind = "forgotten"
)

// A frame is magic, length of the body, CRC-32C of length and body, body: a
// JSON list of records that become true together. The magic holds a byte that
// no JSON text can.
const (
	frameMagic  = "\xf7SJ\x01"
	frameHeader = 12
	// maxFrame bounds a body; a result with a long receipt is the largest.
	maxFrame = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged says that the journal holds intact records behind a broken one.
// That is no torn write but a damaged file, and what it lost is not known.
var ErrDamaged = errors.New("the journal is damaged")

func encodeFrame(records []Record) ([]byte, error) {
	body, err := json.Marshal(records)
	if err != nil {
		return nil, fmt.Errorf("encode journal records: %w", err)
	}
	if len(body) > maxFrame {
		return nil, fmt.Errorf("encode journal records: %d bytes are over the limit of %d", len(body), maxFrame)
	}
	frame := make([]byte, frameHeader, frameHeader+len(body))
	copy(frame, frameMagic)
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(body)))
	binary.LittleEndian.PutUint32(frame[8:], frameSum(frame[4:8], body))
	return append(frame, body...), nil
}

func frameSum(length, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, body)
}

// decodeFrames reads all frames. intact is how far they go: a torn tail behind
// it is to be cut (fault 13). A broken frame with intact ones behind it is
// ErrDamaged.
func decodeFrames(content []byte) (records []Record, intact int64, err error) {
	rest := content
	for len(rest) > 0 {
		body, size, ok := nextFrame(rest)
		if !ok {
			break
		}
		var list []Record
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, 0, fmt.Errorf("read journal at byte %d: %w: %w", len(content)-len(rest), ErrDamaged, err)
		}
		records = append(records, list...)
		rest = rest[size:]
	}
	intact = int64(len(content) - len(rest))
	for tail := rest; len(tail) > 0; {
		at := bytes.Index(tail, []byte(frameMagic))
		if at < 0 {
			break
		}
		if _, _, ok := nextFrame(tail[at:]); ok {
			return nil, 0, fmt.Errorf("read journal at byte %d: %w", intact, ErrDamaged)
		}
		tail = tail[at+1:]
	}
	return records, intact, nil
}

func nextFrame(data []byte) (body []byte, size int, ok bool) {
	if len(data) < frameHeader || string(data[:4]) != frameMagic {
		return nil, 0, false
	}
	length := binary.LittleEndian.Uint32(data[4:])
	if length > maxFrame || int(length) > len(data)-frameHeader {
		return nil, 0, false
	}
	body = data[frameHeader : frameHeader+int(length)]
	if frameSum(data[4:8], body) != binary.LittleEndian.Uint32(data[8:]) {
		return nil, 0, false
	}
	return body, frameHeader + int(length), true
}
