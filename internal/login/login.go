// Package login is where every login is decided, whatever the protocol and the
// mechanism: it asks the directory, holds up and locks out those who guess,
// keeps the log of logins, and knows who may submit since they have just
// collected their mail.
package login
