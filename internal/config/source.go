package config

import (
	"bytes"

	"github.com/pelletier/go-toml/v2/unstable"
)

// source is a document with its name.
type source struct {
	name string
	data []byte
}

// span is a piece of a source.
type span struct {
	src *source
	at  unstable.Range
}

// origins says where settings were written: by path, like "listener[0].address".
type origins map[string]origin

type origin struct{ key, value span }

// locate puts the place of s into p.
func (s span) locate(p Problem) Problem {
	if s.src == nil {
		return p
	}
	p.File = s.src.name
	offset := min(int(s.at.Offset), len(s.src.data))
	before := s.src.data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	line, _, _ := bytes.Cut(s.src.data[start:], []byte("\n"))
	p.Line = bytes.Count(before, []byte("\n")) + 1
	p.Column = offset - start + 1
	p.text = string(bytes.TrimSuffix(line, []byte("\r")))
	p.width = int(s.at.Length)
	return p
}
