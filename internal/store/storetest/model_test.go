package storetest

import (
	"testing"

	"postrider/internal/store"
)

// modelPlace reopens one Model.
func modelPlace(testing.TB) Place {
	m := NewModel()
	return func() store.Store {
		m.Reopen()
		return m
	}
}

func TestModel(t *testing.T) {
	Run(t, func(*testing.T) store.Store { return NewModel() })
}

func TestModelPersistent(t *testing.T) { RunPersistent(t, modelPlace) }
