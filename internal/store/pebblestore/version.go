package pebblestore

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
)

// Format is the version of what is on disk, as docs/STORE.md describes it. A store
// of an older one is read as it is, and from then on it is of this one: a program
// of format 1 would free the content of held messages, one of format 2 would not
// count them, one of format 3 would free the content of queued ones.
const Format = 4

// countsHeld is the first format in which an account's usage has the octets that
// are held for it.
const countsHeld = 3

// versionFile tells a person, and the program, what the folder is.
const versionFile = "VERSION"

// identity is what makes a store this store. It stands in VERSION, and again in
// the index.
type identity struct {
	format int
	id     storeID
}

func (i identity) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(i.format))
	return append(b, i.id[:]...)
}

func decodeIdentity(v []byte) (identity, error) {
	r := valueReader{b: v}
	i := identity{format: int(r.fixed())}
	copy(i.id[:], r.take(uint64(len(i.id))))
	return i, r.err
}

// text returns the content of VERSION.
func (i identity) text() string {
	s := fmt.Sprintf("postrider store\nformat %d\nid %x\n", i.format, i.id[:])
	return s + fmt.Sprintf("check %08x\n", checksum([]byte(s)))
}

// errVersion says that VERSION is not as it was written.
var errVersion = errors.New("the file is damaged")

func parseIdentity(s string) (identity, error) {
	var i identity
	text, check, ok := strings.Cut(s, "check ")
	if !ok || check != fmt.Sprintf("%08x\n", checksum([]byte(text))) {
		return i, errVersion
	}
	var id string
	if _, err := fmt.Sscanf(text, "postrider store\nformat %d\nid %s\n", &i.format, &id); err != nil {
		return i, errVersion
	}
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != len(i.id) {
		return i, errVersion
	}
	copy(i.id[:], b)
	return i, nil
}

// check refuses a format that this program does not know.
func (i identity) check(dir string) error {
	if i.format > Format {
		return fault.Newf(fault.Invalid, "open store "+dir,
			"its format is %d, this postrider knows %d: it was written by a newer postrider; use that one, or a newer one still", i.format, Format)
	}
	if i.format < 1 {
		return fault.Newf(fault.Corrupt, "open store "+dir, "its format is %d, which there never was", i.format)
	}
	return nil
}

func newIdentity() identity {
	i := identity{format: Format}
	rand.Read(i.id[:]) // never fails (crypto/rand)
	return i
}

// readIdentity reads VERSION. Ok is false if it is not there; errVersion says
// that it is damaged.
func readIdentity(fs vfs.FS, dir string) (i identity, ok bool, err error) {
	f, err := fs.Open(fs.PathJoin(dir, versionFile))
	if isNotExist(err) {
		return i, false, nil
	}
	if err != nil {
		return i, true, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return i, true, err
	}
	i, err = parseIdentity(string(b))
	return i, true, err
}

// writeIdentity writes VERSION, durably, in one step.
func writeIdentity(fs vfs.FS, dir string, i identity) error {
	name := fs.PathJoin(dir, versionFile)
	if err := writeFile(fs, name+".new", []byte(i.text())); err != nil {
		return err
	}
	if err := fs.Rename(name+".new", name); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// writeFile makes a file and syncs it, but not its name.
func writeFile(fs vfs.FS, name string, data []byte) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	return err
}

// isNotExist reports whether err says that a file is not there.
func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
