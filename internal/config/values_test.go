package config

import "testing"

func TestDurationsReadAndWrite(t *testing.T) {
	for text, want := range map[string]string{
		"5m": "5m", "90s": "1m30s", "2d": "2d", "24h": "1d", "1h": "1h", "1h30m": "1h30m", "0s": "0s", "100ms": "100ms", "10m0s": "10m",
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%s: got %v %v, want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", "5", "-5m", "m", "1x", "-1d", "99999999d", "1e3s"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, d)
		}
	}
}

func TestSizesReadAndWrite(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1024": 1024, "50MiB": 50 * MiB, "50 MiB": 50 * MiB, "1.5GB": 15e8, "1.5KiB": 1536, "7B": 7, "2TiB": 2 * TiB, "1kB": 1000,
		"8388607TiB": 8388607 * TiB,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%s: got %d %v, want %d", text, got, err, want)
		}
		if back, err := ParseSize(got.String()); err != nil || back != got {
			t.Errorf("%s: written as %s, read as %d %v", text, got, back, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "-1MiB", "1.5", "1e3MiB", "InfMiB", "0x10", "8388608TiB", "9223372036854775808", "1.2.3MiB", "5 apples"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestReserveOfADisk(t *testing.T) {
	const disk = 1000 << 30
	for text, want := range map[string]int64{
		"auto": 512 << 20, "1%": 10 << 30, "2GiB": 2 << 30, "0.5%": 5 << 30,
	} {
		var r Reserve
		if err := r.UnmarshalText([]byte(text)); err != nil || r.Of(disk) != want || r.String() != text {
			t.Errorf("%s: got %d %v %s, want %d", text, r.Of(disk), err, r, want)
		}
	}
	for _, text := range []string{"", "0%", "51%", "-1%", "NaN%", "1e1%", "%", "some"} {
		var r Reserve
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, r)
		}
	}
	if got := (Reserve{}).Of(10 << 30); got != 10<<30/100 {
		t.Errorf("auto on a small disk: got %d, want one percent", got)
	}
}
