// Package oauth verifies the bearer tokens of one OpenID Connect issuer.
package oauth
