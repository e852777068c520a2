package packages

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A zip file says everything twice, in a directory at its end and in front of
// each file, and readers differ in which they believe. checkDirectory refuses
// files in which the two do not say the same, in which file data overlap, or
// which hide entries from the directory (abuse 47, 48). What it accepts has
// one reading only, so that archive/zip can do the rest.

const (
	endSize      = 22
	locatorSize  = 20
	end64Size    = 56
	recordSize   = 46
	localSize    = 30
	maxComment   = 0xffff
	max32        = 0xffffffff
	flagCrypt    = 0x1 | 0x40 | 0x2000
	flagTrailing = 0x8
)

var errZipShape = errors.New("zip: structure is not consistent")

type zipRecord struct {
	name                 string
	flags, method        uint16
	crc                  uint32
	packed, plain, start uint64
	end                  uint64 // of the file data, set from the local header
}

type zipEnd struct {
	records, size, offset uint64
	position              int64 // where the directory must stop
}

func checkDirectory(r io.ReaderAt, size int64, maxEntries int) ([]zipRecord, error) {
	end, err := readEnd(r, size)
	if err != nil {
		return nil, err
	}
	if end.records > uint64(maxEntries) {
		return nil, tooMuch("has too many entries")
	}
	if end.position < 0 || end.offset > uint64(end.position) || end.offset+end.size != uint64(end.position) {
		return nil, errZipShape
	}
	records, err := readRecords(r, end)
	if err != nil {
		return nil, err
	}
	for i := range records {
		if err := checkLocal(r, &records[i]); err != nil {
			return nil, err
		}
	}
	return records, checkLayout(r, slices.Clone(records), end.offset)
}

// readEnd finds the end record whose comment reaches exactly to the end of
// the file, and the 64-bit record before it where that one points there.
func readEnd(r io.ReaderAt, size int64) (zipEnd, error) {
	tail := make([]byte, min(size, endSize+maxComment))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return zipEnd{}, err
	}
	found := -1
	for i := 0; i+endSize <= len(tail); i++ {
		if bytes.HasPrefix(tail[i:], []byte("PK\x05\x06")) && i+endSize+int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail) {
			if found >= 0 {
				return zipEnd{}, errZipShape
			}
			found = i
		}
	}
	if found < 0 {
		return zipEnd{}, errors.New("zip: no directory found")
	}
	b := tail[found:]
	end := zipEnd{
		records:  uint64(binary.LittleEndian.Uint16(b[10:])),
		size:     uint64(binary.LittleEndian.Uint32(b[12:])),
		offset:   uint64(binary.LittleEndian.Uint32(b[16:])),
		position: size - int64(len(tail)) + int64(found),
	}
	if binary.LittleEndian.Uint16(b[4:]) != 0 && binary.LittleEndian.Uint16(b[4:]) != 0xffff {
		return zipEnd{}, errors.New("zip: split over several files")
	}
	if end.records == 0xffff || end.size == max32 || end.offset == max32 {
		return readEnd64(r, end)
	}
	return end, nil
}

func readEnd64(r io.ReaderAt, end zipEnd) (zipEnd, error) {
	var locator [locatorSize]byte
	at := end.position - locatorSize
	if at < end64Size {
		return end, nil // really 65,535 entries in a small file: no 64-bit record fits
	}
	if _, err := r.ReadAt(locator[:], at); err != nil {
		return zipEnd{}, err
	}
	if string(locator[:4]) != "PK\x06\x07" {
		return end, nil
	}
	position := binary.LittleEndian.Uint64(locator[8:])
	if position > uint64(at-end64Size) {
		return zipEnd{}, errZipShape
	}
	var b [end64Size]byte
	if _, err := r.ReadAt(b[:], int64(position)); err != nil {
		return zipEnd{}, err
	}
	if string(b[:4]) != "PK\x06\x06" || position+12+binary.LittleEndian.Uint64(b[4:]) != uint64(at) {
		return zipEnd{}, errZipShape
	}
	return zipEnd{
		records:  binary.LittleEndian.Uint64(b[32:]),
		size:     binary.LittleEndian.Uint64(b[40:]),
		offset:   binary.LittleEndian.Uint64(b[48:]),
		position: int64(position),
	}, nil
}

func readRecords(r io.ReaderAt, end zipEnd) ([]zipRecord, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(r, int64(end.offset), int64(end.size)), 1<<16)
	records := make([]zipRecord, 0, min(end.records, end.size/recordSize))
	var head [recordSize]byte
	for range end.records {
		if _, err := io.ReadFull(in, head[:]); err != nil || string(head[:4]) != "PK\x01\x02" {
			return nil, errZipShape
		}
		nameLen := int(binary.LittleEndian.Uint16(head[28:]))
		extraLen := int(binary.LittleEndian.Uint16(head[30:]))
		rest := make([]byte, nameLen+extraLen+int(binary.LittleEndian.Uint16(head[32:])))
		if _, err := io.ReadFull(in, rest); err != nil {
			return nil, errZipShape
		}
		rec := zipRecord{
			name:   string(rest[:nameLen]),
			flags:  binary.LittleEndian.Uint16(head[8:]),
			method: binary.LittleEndian.Uint16(head[10:]),
			crc:    binary.LittleEndian.Uint32(head[16:]),
			packed: uint64(binary.LittleEndian.Uint32(head[20:])),
			plain:  uint64(binary.LittleEndian.Uint32(head[24:])),
			start:  uint64(binary.LittleEndian.Uint32(head[42:])),
		}
		if err := widen(rest[nameLen:nameLen+extraLen], &rec.plain, &rec.packed, &rec.start); err != nil {
			return nil, refused(rec.name, "has sizes that are not consistent")
		}
		records = append(records, rec)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errZipShape
	}
	return records, nil
}

// widen replaces the saturated ones of the fields, in order, by their 64-bit
// forms from the extra field 1.
func widen(extra []byte, fields ...*uint64) error {
	var wide []byte
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if len(extra) < 4+n {
			break
		}
		if id == 1 {
			if wide != nil {
				return errZipShape
			}
			wide = extra[4 : 4+n]
		}
		extra = extra[4+n:]
	}
	for _, field := range fields {
		if *field != max32 || wide == nil {
			continue
		}
		if len(wide) < 8 {
			return errZipShape
		}
		*field, wide = binary.LittleEndian.Uint64(wide), wide[8:]
	}
	return nil
}

// checkLocal compares the header in front of the file's data with the
// directory's record of it.
func checkLocal(r io.ReaderAt, rec *zipRecord) error {
	if rec.flags&flagCrypt != 0 {
		return refused(rec.name, "is encrypted")
	}
	if rec.start > 1<<62 || rec.packed > 1<<62 {
		return errZipShape
	}
	var head [localSize]byte
	if _, err := r.ReadAt(head[:], int64(rec.start)); err != nil || string(head[:4]) != "PK\x03\x04" {
		return refused(rec.name, "has no header where the directory says")
	}
	nameLen := int(binary.LittleEndian.Uint16(head[26:]))
	rest := make([]byte, nameLen+int(binary.LittleEndian.Uint16(head[28:])))
	if _, err := r.ReadAt(rest, int64(rec.start)+localSize); err != nil && len(rest) > 0 {
		return refused(rec.name, "is cut off")
	}
	packed, plain := uint64(binary.LittleEndian.Uint32(head[18:])), uint64(binary.LittleEndian.Uint32(head[22:]))
	if err := widen(rest[nameLen:], &plain, &packed); err != nil {
		return refused(rec.name, "has sizes that are not consistent")
	}
	const compared = flagCrypt | flagTrailing | 0x800
	flags := binary.LittleEndian.Uint16(head[6:])
	same := string(rest[:nameLen]) == rec.name && flags&compared == rec.flags&compared &&
		binary.LittleEndian.Uint16(head[8:]) == rec.method
	if flags&flagTrailing == 0 {
		same = same && packed == rec.packed && plain == rec.plain && binary.LittleEndian.Uint32(head[14:]) == rec.crc
	}
	if !same {
		return refused(rec.name, "is described differently in the archive's directory")
	}
	rec.end = rec.start + localSize + uint64(len(rest)) + rec.packed
	return nil
}

// checkLayout refuses overlapping entries, and entries between them that the
// directory does not name.
func checkLayout(r io.ReaderAt, records []zipRecord, directory uint64) error {
	slices.SortFunc(records, func(a, b zipRecord) int { return cmp.Compare(a.start, b.start) })
	position := uint64(0)
	for i := range len(records) + 1 {
		next := directory
		if i < len(records) {
			next = records[i].start
		}
		if position > next {
			return refused(records[i-1].name, "overlaps another entry or the archive's directory")
		}
		if err := checkGap(r, position, next); err != nil {
			return err
		}
		if i < len(records) {
			position = records[i].end
		}
	}
	return nil
}

// checkGap looks for an entry's header right behind the data before it or
// behind any of the forms that the data's trailing sizes may have.
func checkGap(r io.ReaderAt, from, to uint64) error {
	for _, trailer := range []uint64{0, 12, 16, 20, 24} {
		if from+trailer+localSize > to {
			return nil
		}
		var mark [4]byte
		if _, err := r.ReadAt(mark[:], int64(from+trailer)); err != nil {
			return err
		}
		if string(mark[:]) == "PK\x03\x04" {
			return fmt.Errorf("zip: hidden entry at offset %d", from+trailer)
		}
	}
	return nil
}
