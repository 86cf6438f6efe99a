package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// Limits of an import.
const (
	MaxImportLine   = 8192 // octets of a line, without its ending
	MaxImportErrors = 1000 // LineErrors that are kept; the others are counted
	importBatch     = 500  // accounts in one Change
)

// Format is how a file of accounts is written.
type Format string

// The formats. FormatAuto, also "", looks at the first line.
const (
	FormatAuto   Format = "auto"
	FormatPasswd Format = "passwd" // Dovecot's passwd-file
	FormatCSV    Format = "csv"    // address,password[,quota], with a header line or without
)

// ImportOptions say how to read a file of accounts.
type ImportOptions struct {
	Format Format
	// DefaultDomain is the domain of names that have none.
	DefaultDomain string
	// CreateDomains makes domains that are not local yet.
	CreateDomains bool
	// Update gives accounts that are there the file's password and quota, where
	// the file has one; otherwise they are skipped.
	Update bool
}

// ImportResult counts what an import did, in accounts.
type ImportResult struct {
	Added   int `json:"added"`
	Updated int `json:"updated"`
	Skipped int `json:"skipped"` // they were there
	Failed  int `json:"failed"`  // lines that say something impossible
	// Errors are the first MaxImportErrors of the failed lines.
	Errors []LineError `json:"errors,omitempty"`
}

// LineError says what is wrong with a line. It holds no password and no hash.
type LineError struct {
	Line    int    `json:"line"` // the first is 1
	Problem string `json:"problem"`
}

// Error returns "line N: problem".
func (e LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// row is what a line says.
type row struct {
	line    int
	address string
	secret  secret // empty: none, or the one that the account has
	quota   int64
	// hasQuota tells no limit from nothing said.
	hasQuota bool
}

// Import reads accounts and makes them, several hundred in a commit. Lines that
// say something impossible are left out and reported in the result. Plain
// passwords are hashed, which takes its time; hashes are kept as they are and
// replaced by argon2id when their owner logs in. So are keys for SCRAM-SHA-256.
//
// The error is of kind Invalid when the options or the file can't be used; any
// other is the store's or the reader's. What the result counts is done then all
// the same, and importing the file again is safe.
func (d *Directory) Import(ctx context.Context, r io.Reader, o ImportOptions) (ImportResult, error) {
	const op = "import accounts"
	im := importer{d: d, o: o, domains: map[string]bool{}, waiting: map[string]bool{}}
	if o.DefaultDomain != "" {
		name, err := domainName(o.DefaultDomain)
		if err != nil {
			return im.result, fault.Newf(fault.Invalid, op, "default domain: %w", err)
		}
		im.o.DefaultDomain = name
	}
	if err := im.run(ctx, r); err != nil {
		return im.result, fault.Wrap(op, err)
	}
	return im.result, nil
}

// importer is an import under way.
type importer struct {
	d       *Directory
	o       ImportOptions
	parse   func(string) (row, error)
	result  ImportResult
	domains map[string]bool // local, or to be made by what is in the batch
	batch   []pending
	waiting map[string]bool // keys of the accounts in the batch
}

func (im *importer) run(ctx context.Context, r io.Reader) error {
	lines := newLines(r)
	for {
		text, err := lines.next()
		var bad LineError
		switch {
		case errors.Is(err, io.EOF):
			return im.flush(ctx)
		case errors.As(err, &bad):
			im.fail(bad.Line, errors.New(bad.Problem))
			continue
		case err != nil:
			return errors.Join(err, im.flush(ctx))
		}
		if err := im.line(ctx, lines.number, text); err != nil {
			return err
		}
	}
}

// line takes one line that is neither blank nor a comment.
func (im *importer) line(ctx context.Context, number int, text string) error {
	if im.parse == nil {
		header, err := im.choose(text)
		if err != nil || header {
			return err
		}
	}
	parsed, err := im.parse(text)
	if err != nil {
		im.fail(number, err)
		return nil
	}
	parsed.line = number
	return im.add(ctx, parsed)
}

// choose sets the parser by the format or the first line, and reports whether
// that line is a header.
func (im *importer) choose(first string) (header bool, err error) {
	f := im.o.Format
	if f == FormatAuto || f == "" {
		f = FormatCSV
		if i := strings.IndexAny(first, `:,"`); i >= 0 && first[i] == ':' {
			f = FormatPasswd
		}
	}
	switch f {
	case FormatPasswd:
		im.parse = parsePasswd
		return false, nil
	case FormatCSV:
		columns, header := csvColumns(first)
		im.parse = columns.parse
		return header, nil
	}
	return false, fault.Newf(fault.Invalid, "choose format", "%q is none of auto, passwd and csv", clip(string(f)))
}

// add puts a row's account into the batch. Its error ends the import.
func (im *importer) add(ctx context.Context, r row) error {
	a, err := im.address(r.address)
	if err != nil {
		im.fail(r.line, err)
		return nil
	}
	key := a.Key()
	if im.waiting[key] || len(im.batch) >= importBatch {
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	e, err := im.d.st.Entry(ctx, key)
	switch {
	case fault.Is(err, fault.NotFound):
		return im.addNew(ctx, a, r)
	case err != nil:
		return err
	case e.Account == 0:
		im.fail(r.line, fmt.Errorf("%s is an alias", a))
		return nil
	case !im.o.Update:
		im.result.Skipped++
		return nil
	}
	im.wait(pending{row: r, address: e.Address, id: e.Account})
	return nil
}

func (im *importer) address(s string) (mail.Address, error) {
	if im.o.DefaultDomain != "" && !strings.Contains(s, "@") {
		s += "@" + im.o.DefaultDomain
	}
	a, err := mail.ParseAddress(s)
	if err == nil && strings.HasPrefix(a.Domain, "[") {
		return mail.Address{}, errLiteral
	}
	return a, err
}

func (im *importer) addNew(ctx context.Context, a mail.Address, r row) error {
	local, err := im.local(ctx, a.Domain)
	if err != nil {
		return err
	}
	if !local {
		im.fail(r.line, fmt.Errorf("%s is not a local domain (add it first, or let the import make domains)", a.Domain))
		return nil
	}
	im.wait(pending{row: r, address: a.Key()})
	return nil
}

// local reports whether a domain is local, or will be: then the batch has it.
func (im *importer) local(ctx context.Context, domain string) (bool, error) {
	if im.domains[domain] {
		return true, nil
	}
	_, err := im.d.st.Domain(ctx, domain)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return false, err
	}
	if err != nil {
		if !im.o.CreateDomains {
			return false, nil
		}
		im.batch = append(im.batch, pending{domain: domain})
	}
	im.domains[domain] = true
	return true, nil
}

// fail notes that a line is left out.
func (im *importer) fail(line int, err error) {
	im.result.Failed++
	if len(im.result.Errors) < MaxImportErrors {
		im.result.Errors = append(im.result.Errors, LineError{Line: line, Problem: err.Error()})
	}
}
