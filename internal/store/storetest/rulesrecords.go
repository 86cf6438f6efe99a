package storetest

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
)

var recordRules = []rule{
	{"RecordsAreMadeReplacedAndRemoved", testRecords},
	{"RecordsAreListedByPrefixAndKey", testListRecords},
	{"RecordListIsOfOneMoment", testRecordsMoment},
	{"RecordKeyIsPrintable", testRecordKeys},
	{"RecordIsBounded", testRecordSize},
	{"RecordsBelongToTheirCallers", testRecordsOwned},
}

func (e *env) records(prefix string) []store.Record {
	e.Helper()
	all := collect(e, e.st.ListRecords(e.ctx, prefix))
	for i := range all {
		all[i].Changed = all[i].Changed.UTC()
	}
	return all
}

func (e *env) sameRecord(want store.Record) {
	e.Helper()
	got, err := e.st.Record(e.ctx, want.Key)
	e.ok(err)
	if got.Key != want.Key || !bytes.Equal(got.Value, want.Value) || !got.Changed.Equal(want.Changed) {
		e.Fatalf("record %s is %s of %v, want %s of %v", want.Key, brief(string(got.Value)), got.Changed, brief(string(want.Value)), want.Changed)
	}
}

func testRecords(e *env) {
	const key = "acme/account key"
	_, err := e.st.Record(e.ctx, key)
	e.fails("Record that is not there", err, fault.NotFound)
	e.fails("RemoveRecord of none", e.st.RemoveRecord(e.ctx, key), fault.NotFound)
	r := store.Record{Key: key, Value: []byte("one"), Changed: day.Add(300 * time.Millisecond)}
	e.ok(e.st.PutRecord(e.ctx, r))
	r.Changed = day
	e.sameRecord(r)
	r.Value, r.Changed = []byte{0, 0xff, '\n', 0}, day.Add(time.Hour)
	e.ok(e.st.PutRecord(e.ctx, r))
	e.sameRecord(r)
	r.Value = nil
	e.ok(e.st.PutRecord(e.ctx, r))
	e.sameRecord(r)
	e.ok(e.st.RemoveRecord(e.ctx, key))
	_, err = e.st.Record(e.ctx, key)
	e.fails("Record that was removed", err, fault.NotFound)
	e.fails("RemoveRecord a second time", e.st.RemoveRecord(e.ctx, key), fault.NotFound)
	if all := e.records(""); len(all) != 0 {
		e.Errorf("listed: %+v", all)
	}
}

func testListRecords(e *env) {
	keys := []string{"~", "b", "a/2", "a", "a/10", "A", "a/", "a0", " ", "ab", "a~", "a/~/x"}
	for i, k := range keys {
		e.ok(e.st.PutRecord(e.ctx, store.Record{Key: k, Value: []byte{byte(i)}, Changed: day}))
	}
	for _, prefix := range []string{"", "a", "a/", "a/1", "a/2", "a~", "~", "~~", "c", " ", "B"} {
		var want []store.Record
		for i, k := range keys {
			if strings.HasPrefix(k, prefix) {
				want = append(want, store.Record{Key: k, Value: []byte{byte(i)}, Changed: day})
			}
		}
		slices.SortFunc(want, func(a, b store.Record) int { return strings.Compare(a.Key, b.Key) })
		if got := e.records(prefix); !reflect.DeepEqual(got, want) {
			e.Errorf("those that begin with %q are %q, want %q", prefix, got, want)
		}
	}
	for r, err := range e.st.ListRecords(e.ctx, "") { // it may be left
		e.ok(err)
		if r.Key != " " {
			e.Errorf("the first is %q", r.Key)
		}
		break
	}
}

func testRecordsMoment(e *env) {
	want := []string{"a", "b", "c"}
	for _, k := range want {
		e.ok(e.st.PutRecord(e.ctx, store.Record{Key: k}))
	}
	var got []string
	for r, err := range e.st.ListRecords(e.ctx, "") {
		e.ok(err)
		if len(got) == 0 {
			e.ok(e.st.RemoveRecord(e.ctx, "b"))
			e.ok(e.st.PutRecord(e.ctx, store.Record{Key: "bb"}))
		}
		got = append(got, r.Key)
	}
	if !slices.Equal(got, want) {
		e.Errorf("the list is %q, want %q as when it began", got, want)
	}
}

func testRecordKeys(e *env) {
	longest := strings.Repeat("k", store.MaxRecordKey)
	for _, key := range []string{" ", "~", "a b/c:*\\\"", longest} {
		e.ok(e.st.PutRecord(e.ctx, store.Record{Key: key, Value: []byte("v"), Changed: day}))
		e.sameRecord(store.Record{Key: key, Value: []byte("v"), Changed: day})
	}
	for _, key := range []string{"", longest + "k", "a\x00b", "tab\t", "line\n", "\x7f", "ü", "\xff"} {
		e.fails("PutRecord", e.st.PutRecord(e.ctx, store.Record{Key: key}), fault.Invalid)
		_, err := e.st.Record(e.ctx, key)
		e.fails("Record of such a key", err, fault.NotFound)
		e.fails("RemoveRecord of such a key", e.st.RemoveRecord(e.ctx, key), fault.NotFound)
	}
	if n := len(e.records("")); n != 4 {
		e.Errorf("%d records are listed, want 4", n)
	}
}

func testRecordSize(e *env) {
	r := store.Record{Key: "large", Value: []byte(pattern(store.MaxRecord)), Changed: day}
	e.ok(e.st.PutRecord(e.ctx, r))
	e.sameRecord(r)
	tooLarge := store.Record{Key: "large", Value: append(r.Value, 0), Changed: day}
	e.fails("PutRecord of an octet more", e.st.PutRecord(e.ctx, tooLarge), fault.TooLarge)
	r.Value = r.Value[:store.MaxRecord]
	e.sameRecord(r)
}

func testRecordsOwned(e *env) {
	value := []byte("value")
	want := store.Record{Key: "k", Value: []byte("value"), Changed: day}
	e.ok(e.st.PutRecord(e.ctx, store.Record{Key: "k", Value: value, Changed: day}))
	copy(value, "-----")
	e.sameRecord(want)
	got, err := e.st.Record(e.ctx, "k")
	e.ok(err)
	copy(got.Value, "-----")
	e.sameRecord(want)
	copy(e.records("")[0].Value, "-----")
	e.sameRecord(want)
}
