// Package pebblestore is the embedded mail store: an engine of package store in
// one folder of one machine.
//
// A log of segment files holds the messages and what each commit changed; it is
// written and synced once a commit. Pebble is the index over it, without a log
// of its own: after a crash it is brought up to date from ours. Large messages
// are files beside the log. docs/STORE.md describes the layout, the keys, the
// states a message goes through and what a crash leaves in each.
//
// # Who may touch what
//
// One goroutine, the committer, writes the log and applies changes to the
// index; the caches of mailbox heads and usages are its own. Everything else
// reads the index, and segments under a pin (pins.go) that keeps them from
// being used again.
package pebblestore
