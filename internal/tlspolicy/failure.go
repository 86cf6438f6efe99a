package tlspolicy

import (
	"crypto/x509"
	"errors"
)

// Failure is one of the result types of RFC 8460 §4.3. Empty is success.
type Failure string

// The failures.
const (
	FailureNoSTARTTLS Failure = "starttls-not-supported"
	FailureHostname   Failure = "certificate-host-mismatch"
	FailureExpired    Failure = "certificate-expired"
	FailureUntrusted  Failure = "certificate-not-trusted"
	FailureValidation Failure = "validation-failure"
	FailureDNSSEC     Failure = "dnssec-invalid"
	FailureFetch      Failure = "sts-policy-fetch-error"
	FailurePolicy     Failure = "sts-policy-invalid"
	FailurePolicyHost Failure = "sts-webpki-invalid"
)

// Classify says what kind of failure an error of a TLS handshake is.
func Classify(err error) Failure {
	var (
		hostname x509.HostnameError
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		roots    x509.SystemRootsError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &hostname):
		return FailureHostname
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return FailureExpired
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &roots):
		return FailureUntrusted
	}
	return FailureValidation
}
