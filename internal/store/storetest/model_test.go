package storetest

import (
	"testing"

	"postrider/internal/fault"
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

// TestModelHistories compares the model with itself: what it says must follow
// from what was done.
func TestModelHistories(t *testing.T) { RunHistories(t, modelPlace) }

func TestModelFailsWhenAsked(t *testing.T) {
	m := NewModel()
	e := &env{T: t, st: m, ctx: t.Context()}
	id := e.account("alice@a.test")

	m.SetHealth(fault.New(fault.NoSpace, "test", nil))
	_, err := m.NewContent(e.ctx, 0)
	e.fails("NewContent on a full disk", err, fault.NoSpace)
	e.fails("Health on a full disk", m.Health(), fault.NoSpace)
	m.SetHealth(nil)

	m.FailNext(OpAccept, fault.New(fault.Transient, "test", nil))
	_, err = m.Accept(e.ctx, e.accept("body", inbox(id)))
	e.fails("Accept", err, fault.Transient)
	e.counts(id, 0, 0)

	m.LoseAnswer(OpAccept, fault.New(fault.Internal, "test", nil))
	lost := e.accept("body", inbox(id))
	_, err = m.Accept(e.ctx, lost)
	e.fails("Accept whose answer is lost", err, fault.Internal)
	e.counts(id, 1, 4)
	again := e.accept("body", inbox(id))
	again.ID = lost.ID
	if done, err := m.Accept(e.ctx, again); err != nil || !done.Repeated {
		t.Errorf("the repetition gives %+v, %v", done, err)
	}
}
