// Package directory knows domains, accounts, aliases and credentials: who is
// local, where an address leads, and whether a password is right. It keeps
// nothing itself; the records are the store's.
package directory
