//go:build unix

package cli

import (
	"fmt"
	"os"
	"syscall"
)

// rightUser fails for root on a data folder that is another user's: the files
// that root makes in the store would be closed to the server that runs as its
// owner.
func rightUser(data string) error {
	info, err := os.Stat(data)
	if err != nil {
		return nil // opening the store says it better
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	return hinted{
		fmt.Errorf("the data folder %s belongs to user %d, who could not read what root writes there", data, owner.Uid),
		fmt.Sprintf("Run this as its owner: sudo -u '#%d' postrider …", owner.Uid),
	}
}
