package pebblestore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// pageSize is what frames are aligned to, in octets: what disks and file
// systems write whole or not at all, at best.
const pageSize = 4096

// frameHeaderSize is that of a frame's header, in octets.
const frameHeaderSize = 64

// maxFrame bounds a frame, in octets. One operation may be larger than what the
// committer gathers, but not than this.
const maxFrame = 1 << 30

// frameMagic begins every frame; its last octet is the form of the frame.
var frameMagic = [8]byte{'P', 'R', 'F', 'R', 'A', 'M', 'E', 1}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// storeID tells the frames of one store from those of any other, and from
// anything that a message could imitate: it is random and never shown.
type storeID [16]byte

// frameHeader stands before the records and the redo of one commit:
//
//	 0  magic                 8
//	 8  store id             16
//	24  segment               8  little-endian, as all numbers here
//	32  LSN                   8
//	40  octets of records     4
//	44  octets of redo        4
//	48  CRC32C of records     4
//	52  CRC32C of redo        4
//	56  zero                  4
//	60  CRC32C of the above   4
//
// The redo has a checksum of its own: what is damaged in a record costs that
// message, and not the whole commit.
type frameHeader struct {
	store   storeID
	segment uint64
	lsn     uint64
	records uint32
	redo    uint32
	crc     uint32 // of the records
	redoCRC uint32
}

// size returns the octets of the frame without its padding.
func (h *frameHeader) size() int64 {
	return frameHeaderSize + int64(h.records) + int64(h.redo)
}

// padded returns the octets that the frame takes up.
func (h *frameHeader) padded() int64 { return roundUp(h.size(), pageSize) }

// put writes the header to the beginning of frame.
func (h *frameHeader) put(frame []byte) {
	b := frame[:frameHeaderSize]
	copy(b, frameMagic[:])
	copy(b[8:], h.store[:])
	binary.LittleEndian.PutUint64(b[24:], h.segment)
	binary.LittleEndian.PutUint64(b[32:], h.lsn)
	binary.LittleEndian.PutUint32(b[40:], h.records)
	binary.LittleEndian.PutUint32(b[44:], h.redo)
	binary.LittleEndian.PutUint32(b[48:], h.crc)
	binary.LittleEndian.PutUint32(b[52:], h.redoCRC)
	clear(b[56:60])
	binary.LittleEndian.PutUint32(b[60:], checksum(b[:60]))
}

// parseFrame reads a frame's header; ok is false if b does not begin with one.
func parseFrame(b []byte) (h frameHeader, ok bool) {
	if len(b) < frameHeaderSize || [8]byte(b) != frameMagic ||
		checksum(b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return h, false
	}
	copy(h.store[:], b[8:])
	h.segment = binary.LittleEndian.Uint64(b[24:])
	h.lsn = binary.LittleEndian.Uint64(b[32:])
	h.records = binary.LittleEndian.Uint32(b[40:])
	h.redo = binary.LittleEndian.Uint32(b[44:])
	h.crc = binary.LittleEndian.Uint32(b[48:])
	h.redoCRC = binary.LittleEndian.Uint32(b[52:])
	return h, h.size() <= maxFrame
}

// sum sets the checksums of what follows the header in frame: h.records octets
// of records, then the redo.
func (h *frameHeader) sum(frame []byte) {
	rest := frame[frameHeaderSize:]
	h.crc, h.redoCRC = checksum(rest[:h.records]), checksum(rest[h.records:])
}

// verify reports whether the records and the redo, which follow the header, are
// as they were written.
func (h *frameHeader) verify(rest []byte) (records, redo bool) {
	return checksum(rest[:h.records]) == h.crc, checksum(rest[h.records:]) == h.redoCRC
}

// recordHeaderSize is that of a record's header, in octets.
const recordHeaderSize = 52

// recordMagic begins every record.
const recordMagic = 0x31434552 // "REC1"

// recordHeader stands before what one Accept keeps: its envelope, the prefixes
// of its copies (each after its CRC32C), and its body, unless that is a file.
//
//	 0  magic                 4  little-endian, as all numbers here
//	 4  blob                  8
//	12  octets of envelope    4
//	16  octets of prefixes    4
//	20  octets of body        8
//	28  file, or zero         8
//	36  CRC32C of envelope    4
//	40  CRC32C of prefixes    4
//	44  CRC32C of body        4  zero if it is a file
//	48  CRC32C of the above   4
type recordHeader struct {
	blob        uint64
	envelope    uint32
	prefixes    uint32
	body        int64
	file        uint64
	envelopeCRC uint32
	prefixesCRC uint32
	bodyCRC     uint32
}

// length returns the octets of the whole record.
func (h *recordHeader) length() int64 {
	n := recordHeaderSize + int64(h.envelope) + int64(h.prefixes)
	if h.file == 0 {
		n += h.body
	}
	return n
}

func (h *recordHeader) append(b []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, recordMagic)
	b = binary.LittleEndian.AppendUint64(b, h.blob)
	b = binary.LittleEndian.AppendUint32(b, h.envelope)
	b = binary.LittleEndian.AppendUint32(b, h.prefixes)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.body))
	b = binary.LittleEndian.AppendUint64(b, h.file)
	b = binary.LittleEndian.AppendUint32(b, h.envelopeCRC)
	b = binary.LittleEndian.AppendUint32(b, h.prefixesCRC)
	b = binary.LittleEndian.AppendUint32(b, h.bodyCRC)
	return binary.LittleEndian.AppendUint32(b, checksum(b[start:]))
}

var (
	errRecord   = errors.New("the record's header is damaged or another's")
	errChecksum = errors.New("checksum does not match")
)

// parseRecord reads a record's header.
func parseRecord(b []byte) (recordHeader, error) {
	var h recordHeader
	if len(b) < recordHeaderSize || binary.LittleEndian.Uint32(b) != recordMagic ||
		checksum(b[:48]) != binary.LittleEndian.Uint32(b[48:]) {
		return h, errRecord
	}
	h.blob = binary.LittleEndian.Uint64(b[4:])
	h.envelope = binary.LittleEndian.Uint32(b[12:])
	h.prefixes = binary.LittleEndian.Uint32(b[16:])
	h.body = int64(binary.LittleEndian.Uint64(b[20:]))
	h.file = binary.LittleEndian.Uint64(b[28:])
	h.envelopeCRC = binary.LittleEndian.Uint32(b[36:])
	h.prefixesCRC = binary.LittleEndian.Uint32(b[40:])
	h.bodyCRC = binary.LittleEndian.Uint32(b[44:])
	if h.body < 0 {
		return h, errRecord
	}
	return h, nil
}

// prefixCRCSize is what stands before each prefix, in octets.
const prefixCRCSize = 4

func appendPrefix(b, prefix []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, checksum(prefix))
	return append(b, prefix...)
}

// checkPrefix takes what appendPrefix wrote and returns the prefix.
func checkPrefix(b []byte) ([]byte, error) {
	if len(b) < prefixCRCSize || checksum(b[prefixCRCSize:]) != binary.LittleEndian.Uint32(b) {
		return nil, errChecksum
	}
	return b[prefixCRCSize:], nil
}
