package admin

import (
	"context"
	"encoding/json"

	"postrider/internal/store"
)

type checkArgument struct {
	Repair bool `json:"repair,omitempty"`
}

// Usage is what the store holds; Health says why it takes no mail, if it takes none.
type Usage struct {
	store.Usage
	Health string `json:"health,omitempty"`
}

// Check walks the whole store and gives each finding to report as it is made.
func (c *Client) Check(ctx context.Context, repair bool, report func(store.Finding) error) (store.CheckResult, error) {
	var result store.CheckResult
	err := c.run(ctx, "store.check", checkArgument{repair}, nil, func(raw json.RawMessage) error {
		var f store.Finding
		if err := decode(raw, &f); err != nil {
			return err
		}
		return report(f)
	}, &result)
	return result, err
}

// Usage says how much the store holds.
func (c *Client) Usage(ctx context.Context) (Usage, error) {
	var u Usage
	err := c.ask(ctx, "store.usage", struct{}{}, &u)
	return u, err
}

func storeCheck(s *service, c *call, a checkArgument) (any, error) {
	var gone error // the caller, most likely
	result, err := s.store.Check(c, a.Repair, func(f store.Finding) {
		if gone != nil {
			return
		}
		if gone = c.emit(f); gone == nil {
			gone = c.flush()
		}
	})
	if err != nil {
		return nil, err
	}
	return result, gone
}

func storeUsage(s *service, c *call, _ struct{}) (any, error) {
	u, err := s.store.Usage(c)
	if err != nil {
		return nil, err
	}
	usage := Usage{Usage: u}
	if err := s.store.Health(); err != nil {
		usage.Health = err.Error()
	}
	return usage, nil
}
