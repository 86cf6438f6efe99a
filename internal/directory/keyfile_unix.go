//go:build unix

package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// checkPrivate refuses a file that others than its owner could read or change.
func checkPrivate(info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others than its owner can use it (its mode is %04o; chmod 600 it)", mode)
	}
	return nil
}

// syncFolder makes durable what files a folder has.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
