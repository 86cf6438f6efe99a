package directory

import (
	"encoding/csv"
	"errors"
	"math"
	"strconv"
	"strings"
)

// parsePasswd reads a line of Dovecot's passwd-file:
//
//	user:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields
//
// Of these the user, the password and a quota among the extra fields count. A
// password needs a {SCHEME} unless it is a hash that names its own method.
func parsePasswd(s string) (row, error) {
	const fields = 8
	f := strings.SplitN(s, ":", fields)
	if len(f) < 2 {
		return row{}, errors.New("it is not like user:{SCHEME}hash:…")
	}
	r := row{address: strings.TrimSpace(f[0])}
	if f[1] != "" {
		var err error
		if r.secret, err = parseHash(f[1]); err != nil {
			if errors.Is(err, errUnknownHash) {
				err = errors.New("the password has no {SCHEME} and is no hash that is known here; write {PLAIN} before a plain password")
			}
			return row{}, err
		}
	}
	if len(f) < fields {
		return r, nil
	}
	for extra := range strings.FieldsSeq(f[fields-1]) {
		name, rule, _ := strings.Cut(extra, "=")
		if strings.TrimPrefix(name, "userdb_") != "quota_rule" {
			continue
		}
		if err := r.setQuotaRule(rule); err != nil {
			return row{}, err
		}
	}
	return r, nil
}

var errRule = errors.New("the quota rule is not like *:storage=100M or *:bytes=104857600")

// setQuotaRule reads Dovecot's "*:storage=100M:messages=1000": storage counts in
// KiB without a unit, bytes in octets. Messages are not limited here.
func (r *row) setQuotaRule(rule string) error {
	parts := strings.Split(rule, ":")
	if parts[0] != "*" {
		return nil // of one folder
	}
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(p, "=")
		unit := int64(1)
		switch name {
		case "storage":
			unit = 1 << 10
		case "bytes":
		default:
			continue
		}
		n, err := parseQuota(value, unit)
		if err != nil {
			return errRule
		}
		r.quota, r.hasQuota = n, true
	}
	return nil
}

// quotaUnits are the octets of a unit's letter. A "B" after it is allowed, and
// "iB".
var quotaUnits = map[string]int64{"": 0, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

// parseQuota reads a number with a unit or without; then it is of what unit says.
func parseQuota(s string, unit int64) (int64, error) {
	s = strings.ToUpper(strings.TrimSpace(s))
	digits := strings.TrimRight(s, "KMGTIB")
	letter := s[len(digits):]
	if len(letter) > 1 {
		letter = strings.TrimSuffix(strings.TrimSuffix(letter, "B"), "I")
	}
	octets, ok := quotaUnits[letter]
	if !ok {
		return 0, errQuota
	}
	if octets == 0 {
		octets = unit
	}
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
	if err != nil || int64(n) > math.MaxInt64/octets {
		return 0, errQuota
	}
	return int64(n) * octets, nil
}

// columns are where a CSV file has what; -1: nowhere.
type columns struct{ address, password, quota int }

// columnNames are what a header may call the columns.
var columnNames = map[string]func(*columns) *int{
	"address":  func(c *columns) *int { return &c.address },
	"email":    func(c *columns) *int { return &c.address },
	"user":     func(c *columns) *int { return &c.address },
	"username": func(c *columns) *int { return &c.address },
	"login":    func(c *columns) *int { return &c.address },
	"password": func(c *columns) *int { return &c.password },
	"hash":     func(c *columns) *int { return &c.password },
	"quota":    func(c *columns) *int { return &c.quota },
}

// csvColumns looks at the first line for a header, which is one that names the
// address; without one it is address,password,quota.
func csvColumns(first string) (c columns, header bool) {
	c = columns{address: -1, password: -1, quota: -1}
	fields, err := csvFields(first)
	if err != nil {
		return columns{0, 1, 2}, false
	}
	for i, name := range fields {
		if column, ok := columnNames[strings.ToLower(strings.TrimSpace(name))]; ok {
			if p := column(&c); *p < 0 {
				*p = i
			}
		}
	}
	if c.address < 0 {
		return columns{0, 1, 2}, false
	}
	return c, true
}

func csvFields(s string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(s))
	r.FieldsPerRecord = -1
	fields, err := r.Read()
	if err != nil {
		return nil, errors.New("it is not CSV: look at the quotes")
	}
	return fields, nil
}

// parse reads a line of CSV. A password that begins like a hash must be one.
func (c columns) parse(s string) (row, error) {
	fields, err := csvFields(s)
	if err != nil {
		return row{}, err
	}
	field := func(i int) string {
		if i < 0 || i >= len(fields) {
			return ""
		}
		return fields[i]
	}
	r := row{address: strings.TrimSpace(field(c.address))}
	switch p := field(c.password); {
	case p == "":
	case looksHashed(p):
		r.secret, err = parseHash(p)
	default:
		r.secret, err = plain(p)
	}
	if err != nil {
		return row{}, err
	}
	if q := strings.TrimSpace(field(c.quota)); q != "" {
		if r.quota, err = parseQuota(q, 1); err != nil {
			return row{}, err
		}
		r.hasQuota = true
	}
	return r, nil
}
