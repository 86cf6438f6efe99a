package directory

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"postrider/internal/fault"
)

const (
	keyFileSize = 32  // octets of the key
	maxKeyFile  = 512 // octets of the file
)

// keyFile is a file with a key outside of the store: 32 random octets in base64,
// on a line, readable by its owner alone. Other keys are derived from it, one for
// each purpose.
type keyFile struct {
	path   string // empty: there is none
	mu     sync.Mutex
	loaded atomic.Pointer[masterKey]
}

// masterKey is what is derived from the file's key.
type masterKey struct {
	secrets cipher.AEAD // seals recoverable secrets
}

// load returns the key, which is read once. NotFound: there is no such file.
// Invalid: it can't be used as it is. No error holds anything of the key.
func (k *keyFile) load() (*masterKey, error) {
	if key := k.loaded.Load(); key != nil {
		return key, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read()
}

// read is load. K.mu is held.
func (k *keyFile) read() (*masterKey, error) {
	op := "read key file " + k.path
	if k.path == "" {
		return nil, fault.Newf(fault.NotFound, "read key file", "none is configured")
	}
	text, err := readPrivate(k.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, op, err)
	case err != nil:
		return nil, fault.New(fault.Invalid, op, err)
	case strings.TrimSpace(text) == "":
		return nil, fault.Newf(fault.Invalid, op, "it is empty; remove it, and a new one is made when it is needed")
	}
	octets, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(octets) != keyFileSize {
		return nil, fault.Newf(fault.Invalid, op, "it is not %d octets in base64", keyFileSize)
	}
	key, err := newMasterKey(octets)
	if err != nil {
		return nil, fault.New(fault.Internal, op, err)
	}
	k.loaded.Store(key)
	return key, nil
}

// readPrivate reads a small file that nobody else may read.
func readPrivate(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not a file")
	}
	if err := checkPrivate(info); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("it is longer than %d octets", maxKeyFile)
	}
	return string(b), err
}

func newMasterKey(octets []byte) (*masterKey, error) {
	sealing, err := hkdf.Key(sha256.New, octets, nil, "postrider legacy secrets", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, err
	}
	var key masterKey
	if key.secrets, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	return &key, nil
}

// create makes the file with a new key, durably, and returns the key. A file
// that is there already is not touched.
func (k *keyFile) create() (*masterKey, error) {
	op := "make key file " + k.path
	k.mu.Lock()
	defer k.mu.Unlock()
	var octets [keyFileSize]byte
	rand.Read(octets[:]) // never fails (crypto/rand)
	err := writeNew(k.path, base64.StdEncoding.EncodeToString(octets[:])+"\n")
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fault.New(fault.Internal, op, err)
	}
	return k.read()
}

// writeNew makes a file that is its owner's alone, and returns when it is durable.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
