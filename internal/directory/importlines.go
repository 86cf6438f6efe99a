package directory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// lines reads a text file by lines, without those that are blank or begin with
// "#". Endings are LF or CRLF.
type lines struct {
	r      *bufio.Reader
	number int // of the line read last
}

const byteOrderMark = "\uFEFF"

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, MaxImportLine+len("\r\n"))}
}

// next returns the next line without its ending, io.EOF at the end. A LineError
// is about that line only; reading can go on.
func (l *lines) next() (string, error) {
	for {
		text, err := l.read()
		if err != nil {
			return "", err
		}
		if l.number == 1 {
			text = strings.TrimPrefix(text, byteOrderMark)
		}
		if t := strings.TrimSpace(text); t != "" && t[0] != '#' {
			return text, nil
		}
	}
}

func (l *lines) read() (string, error) {
	b, err := l.r.ReadSlice('\n')
	if len(b) == 0 && err != nil {
		return "", err
	}
	l.number++
	if errors.Is(err, bufio.ErrBufferFull) {
		if err := l.skip(); err != nil {
			return "", err
		}
		return "", LineError{Line: l.number, Problem: fmt.Sprintf("it is longer than %d octets", MaxImportLine)}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// skip reads on to the end of the line.
func (l *lines) skip() error {
	for {
		_, err := l.r.ReadSlice('\n')
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
