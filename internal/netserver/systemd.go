package netserver

import (
	"net"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// ListenersFromSystemd returns the listening sockets that systemd has passed
// to the program, by the names of their FileDescriptorName= settings; none if
// the program was not started by socket activation. The second call returns
// nothing.
func ListenersFromSystemd() (map[string][]net.Listener, error) {
	byName, err := activation.ListenersWithNames()
	for name, all := range byName {
		// A socket that is no stream is left out by the library as nil.
		kept := all[:0]
		for _, ln := range all {
			if ln != nil {
				kept = append(kept, ln)
			}
		}
		byName[name] = kept
	}
	return byName, err
}

// NotifyReady tells systemd, if it started the program, that the listeners are
// being served.
func NotifyReady() error { return notify(daemon.SdNotifyReady) }

// NotifyStopping tells systemd that the program is about to end.
func NotifyStopping() error { return notify(daemon.SdNotifyStopping) }

func notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}
