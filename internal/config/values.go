package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as "90s", "5m", "1h30m" or "2d".
type Duration time.Duration

// Units of Duration.
const (
	Second = Duration(time.Second)
	Minute = Duration(time.Minute)
	Hour   = Duration(time.Hour)
	day    = 24 * Hour
)

var errDuration = errors.New(`a duration is a number with a unit: "90s", "5m", "1h30m", "2d"`)

// UnmarshalText reads what an operator wrote.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return errDuration
		}
		*d = Duration(days) * day
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return errDuration
	}
	*d = Duration(v)
	return nil
}

// MarshalText returns String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns the duration without units that are zero, as "5m".
func (d Duration) String() string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Duration returns d as the standard library has it.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// Size is a number of octets that is written as "50MiB", "1.5GB" or a bare number.
type Size int64

// Units of Size.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

var sizeUnits = []struct {
	name string
	size Size
}{
	{"TiB", TiB},
	{"GiB", GiB},
	{"MiB", MiB},
	{"KiB", KiB},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
	{"B", 1},
}

var errSize = errors.New(`a size is a number of octets, or a number with a unit: "64KiB", "50MiB", "1.5GB"`)

// ParseSize reads a size.
func ParseSize(s string) (Size, error) {
	unit := Size(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/int64(unit) {
		return Size(n) * unit, nil
	}
	if !onlyDecimal(s) {
		return 0, errSize
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f*float64(unit) >= math.MaxInt64 || unit == 1 {
		return 0, errSize
	}
	return Size(f * float64(unit)), nil
}

// onlyDecimal keeps out what else ParseFloat reads: exponents, hexadecimal, Inf.
func onlyDecimal(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == ""
}

// UnmarshalText reads what an operator wrote.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// MarshalText returns String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the size exactly, in the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if s >= u.size && s%u.size == 0 {
			return fmt.Sprintf("%d%s", s/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

// Reserve is the space that is kept free on a disk: Octets, or Percent of the
// disk. The zero value leaves it to the store.
type Reserve struct {
	Octets  int64
	Percent float64
}

// maxReserve bounds the automatic reserve.
const maxReserve = 512 * MiB

var errReserve = errors.New(`the reserve is a size like "2GiB", a part of the disk like "1%", or "auto"`)

// UnmarshalText reads what an operator wrote.
func (r *Reserve) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "auto" {
		*r = Reserve{}
		return nil
	}
	if n, ok := strings.CutSuffix(s, "%"); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		if err != nil || !onlyDecimal(strings.TrimSpace(n)) || f <= 0 || f > 50 {
			return errReserve
		}
		*r = Reserve{Percent: f}
		return nil
	}
	v, err := ParseSize(s)
	if err != nil {
		return errReserve
	}
	*r = Reserve{Octets: int64(v)}
	return nil
}

// MarshalText returns String.
func (r Reserve) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String returns the reserve as it is written.
func (r Reserve) String() string {
	switch {
	case r.Percent > 0:
		return strconv.FormatFloat(r.Percent, 'f', -1, 64) + "%"
	case r.Octets > 0:
		return Size(r.Octets).String()
	}
	return "auto"
}

// Of returns the reserve on a disk of so many octets.
func (r Reserve) Of(disk int64) int64 {
	switch {
	case r.Percent > 0:
		return int64(float64(disk) * r.Percent / 100)
	case r.Octets > 0:
		return r.Octets
	}
	return min(disk/100, int64(maxReserve))
}
