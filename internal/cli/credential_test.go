package cli

import (
	"slices"
	"testing"
	"time"

	"postrider/internal/store"
)

func TestTheLastUseIsShownToTheHour(t *testing.T) {
	made := time.Date(2026, 3, 1, 8, 52, 33, 0, time.Local)
	used := made.Truncate(time.Hour) // what the directory keeps; before it was made
	got := appPasswordRow(store.AppPassword{Name: "phone", Created: made, Used: used})
	if want := []string{"phone", "all", "2026-03-01 08:52", used.Format("2006-01-02 15h")}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
