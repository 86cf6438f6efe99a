package pebblestore

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A large content is a file of blocks: of blockSize octets, the last one as
// short as need be, each ending with the CRC32C of the file's number, the
// block's, and the octets before.
const (
	blockSize    = 64 << 10
	blockPayload = blockSize - blockCRCSize
	blockCRCSize = 4
	// transferSize is what is read or written at once, in octets.
	transferSize = 4 * blockSize
)

// blocksLength returns the octets of a file that holds n octets of content.
func blocksLength(n int64) int64 {
	blocks := (n + blockPayload - 1) / blockPayload
	return n + blocks*blockCRCSize
}

func blockCRC(file, block uint64, payload []byte) uint32 {
	var seed [16]byte
	binary.LittleEndian.PutUint64(seed[:], file)
	binary.LittleEndian.PutUint64(seed[8:], block)
	return crc32.Update(checksum(seed[:]), castagnoli, payload)
}

// How far a file is written before its octets are sent on to the disk without
// waiting; the longer one where the system can only wait.
const (
	syncAhead     = 1 << 20
	syncAheadFull = 16 << 20
)

// blockWriter writes a large content.
type blockWriter struct {
	file   vfs.File
	num    uint64
	buf    []byte // transferSize octets
	filled int    // of buf
	start  int    // of the current block within buf
	block  uint64 // number of the current block
	length int64  // written to file
	synced int64  // sent on to the disk
	ahead  int64
}

func newBlockWriter(f vfs.File, num uint64, buf []byte) *blockWriter {
	return &blockWriter{file: f, num: num, buf: buf, ahead: syncAhead}
}

// Write implements io.Writer.
func (w *blockWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := copy(w.buf[w.filled:w.start+blockPayload], p)
		w.filled += k
		p = p[k:]
		if w.filled == w.start+blockPayload {
			w.endBlock()
		}
		if w.filled == len(w.buf) {
			if err := w.flush(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

// endBlock adds the checksum to the current block and begins the next.
func (w *blockWriter) endBlock() {
	crc := blockCRC(w.num, w.block, w.buf[w.start:w.filled])
	binary.LittleEndian.PutUint32(w.buf[w.filled:w.filled+blockCRCSize], crc)
	w.filled += blockCRCSize
	w.start = w.filled
	w.block++
}

func (w *blockWriter) flush() error {
	n, err := w.file.Write(w.buf[:w.filled])
	w.length += int64(n)
	w.filled, w.start = 0, 0
	if err != nil {
		return err
	}
	if w.length-w.synced < w.ahead {
		return nil
	}
	full, err := w.file.SyncTo(w.length)
	w.synced = w.length
	if full {
		w.ahead = syncAheadFull
	}
	if err != nil {
		return &syncError{err}
	}
	return nil
}

// finish writes what is left and makes the file durable, but not its name.
func (w *blockWriter) finish() error {
	if w.filled > w.start {
		w.endBlock()
	}
	if w.filled > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if err := w.file.Sync(); err != nil {
		return &syncError{err}
	}
	return nil
}

// syncError tells a failed sync from a failed write: it is never tried again.
type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// blockReader reads a large content of size octets.
type blockReader struct {
	file vfs.File
	num  uint64
	size int64
	buf  []byte // transferSize octets
	from int64  // number of the first block in buf
	have int    // octets of payload in buf, each block's at its place
}

// at returns verified octets of the content from off on, as many as are at
// hand; they are valid until the next call. The error at the end is io.EOF.
func (r *blockReader) at(off int64) ([]byte, error) {
	if off >= r.size {
		return nil, io.EOF
	}
	block := off / blockPayload
	if r.have == 0 || block < r.from || (block-r.from)*blockPayload >= int64(r.have) {
		if err := r.load(block); err != nil {
			return nil, err
		}
	}
	i := block - r.from
	begin := i*blockSize + off%blockPayload
	end := i*blockSize + min(blockPayload, int64(r.have)-i*blockPayload)
	return r.buf[begin:end], nil
}

// load reads and verifies the blocks from the one given on. Of those that follow
// it, a bad one ends what is at hand.
func (r *blockReader) load(block int64) error {
	r.have, r.from = 0, block
	left := blocksLength(r.size) - block*blockSize
	n, err := r.file.ReadAt(r.buf[:min(left, int64(len(r.buf)))], block*blockSize)
	if err != nil && err != io.EOF {
		return err
	}
	for begin := 0; begin < n; begin += blockSize {
		end := min(begin+blockSize, int(min(left, int64(len(r.buf)))))
		if end > n || end-begin <= blockCRCSize {
			break
		}
		payload := r.buf[begin : end-blockCRCSize]
		crc := binary.LittleEndian.Uint32(r.buf[end-blockCRCSize:])
		if blockCRC(r.num, uint64(block)+uint64(begin/blockSize), payload) != crc {
			break
		}
		r.have += len(payload)
	}
	if r.have == 0 {
		return errChecksum
	}
	return nil
}
