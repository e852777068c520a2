package main

import (
	"encoding/binary"
	"fmt"
	"io"
)

// What a frame carries. A frame is one byte of kind, eight bytes of length
// (big-endian) and that many bytes.
const (
	frameScript  byte = 1 // a script to run, nothing else
	frameValues  byte = 2 // JSON object: the values for the next package
	framePackage byte = 3 // a zip to install and whose PostDeploy.sh to run
	frameResult  byte = 4 // one byte of exit code, then the output
)

func writeHeader(w io.Writer, kind byte, length int) error {
	var head [9]byte
	head[0] = kind
	binary.BigEndian.PutUint64(head[1:], uint64(length))
	_, err := w.Write(head[:])
	return err
}

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	if err := writeHeader(w, kind, len(payload)); err != nil {
		return err
	}
	_, err := w.Write(payload)
	return err
}

// readFrame reads a frame, reusing buf where it is large enough.
func readFrame(r io.Reader, buf []byte) (kind byte, payload []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, buf, err
	}
	length := binary.BigEndian.Uint64(head[1:])
	if length > 1<<30 {
		return 0, buf, fmt.Errorf("frame of %d bytes", length)
	}
	if uint64(cap(buf)) < length {
		buf = make([]byte, length)
	}
	buf = buf[:length]
	_, err = io.ReadFull(r, buf)
	return head[0], buf, err
}
