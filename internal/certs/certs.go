// Package certs has the server's certificates: those in files, those from an
// ACME authority, and one signed by itself where there is no other.
package certs
