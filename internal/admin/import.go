package admin

import (
	"context"
	"encoding/json"
	"io"

	"postrider/internal/directory"
)

// importArgument is directory.ImportOptions on its way. The file follows it.
type importArgument struct {
	Format        string `json:"format,omitempty"`
	DefaultDomain string `json:"default_domain,omitempty"`
	CreateDomains bool   `json:"create_domains,omitempty"`
	Update        bool   `json:"update,omitempty"`
}

// Import makes accounts from a file. What the result counts is done also when
// there is an error.
func (c *Client) Import(ctx context.Context, file io.Reader, o directory.ImportOptions) (directory.ImportResult, error) {
	var result directory.ImportResult
	argument := importArgument{string(o.Format), o.DefaultDomain, o.CreateDomains, o.Update}
	err := c.run(ctx, "account.import", argument, file, func(raw json.RawMessage) error {
		return decode(raw, &result)
	}, nil)
	return result, err
}

// accountImport sends what was done as an item, since it may be followed by an
// error.
func accountImport(s *service, c *call, a importArgument) (any, error) {
	result, err := s.directory.Import(c, c.more, directory.ImportOptions{
		Format: directory.Format(a.Format), DefaultDomain: a.DefaultDomain,
		CreateDomains: a.CreateDomains, Update: a.Update,
	})
	if gone := c.emit(result); err == nil {
		err = gone
	}
	return nil, err
}
