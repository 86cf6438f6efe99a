// Package receive is what happens to an incoming envelope: a list of small
// checks in one visible order, the trace fields, and the delivery in one
// durable commit.
package receive
