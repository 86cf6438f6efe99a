package mail

// AddressError says why a text is not an address, in words that may be shown to
// whoever wrote it: it never holds a part of the text.
type AddressError struct{ Reason string }

// Error returns the reason.
func (e *AddressError) Error() string { return e.Reason }

// What can be wrong with an address, a path or a domain. Errors of this package's
// parsers are one of these, so that errors.Is tells them apart.
var (
	ErrNoAddress       = &AddressError{"an address is missing"}
	ErrNoLocal         = &AddressError{"the local part, before the @, is empty"}
	ErrNoAt            = &AddressError{"the address has no @ with a domain after it"}
	ErrLocalTooLong    = &AddressError{"the local part is longer than 64 octets"}
	ErrLocalCharacter  = &AddressError{"the local part has a character that needs quotes"}
	ErrControl         = &AddressError{"the address has a control character"}
	ErrQuote           = &AddressError{"the quoted local part has no closing quote before an @"}
	ErrNotASCII        = &AddressError{"the address is not ASCII, which needs SMTPUTF8"}
	ErrNotUTF8         = &AddressError{"the text is not valid UTF-8"}
	ErrNoDomain        = &AddressError{"the domain is empty"}
	ErrDomainTooLong   = &AddressError{"the domain is longer than 255 octets"}
	ErrDomainCharacter = &AddressError{"the domain has a character that no domain has"}
	ErrEmptyLabel      = &AddressError{"the domain has two dots with nothing between them, or begins with a dot"}
	ErrLabelTooLong    = &AddressError{"a part of the domain between dots is longer than 63 octets"}
	ErrHyphen          = &AddressError{"a part of the domain begins or ends with a hyphen"}
	ErrIDNA            = &AddressError{"the domain is not a valid internationalized name"}
	ErrLiteral         = &AddressError{"the address literal is not like [192.0.2.1] or [IPv6:2001:db8::1]"}
	ErrPathTooLong     = &AddressError{"the path is longer than 256 octets"}
	ErrRoute           = &AddressError{"the source route is not like @one.example,@two.example:"}
	ErrBracket         = &AddressError{"the closing angle bracket is missing"}
	ErrAfterPath       = &AddressError{"there is something after the address that is not separated by a space"}
)
