package failing

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestLedger(t *testing.T) {
	l := New()
	began := time.Unix(1_000_000, 0)
	now := began
	l.now = func() time.Time { return now }
	l.Add("b", "connection refused")
	now = began.Add(time.Minute)
	l.Add("b", "no answer")
	l.Add("a", "no answer")
	want := []Failure{
		{Cluster: "a", Reason: "no answer", Count: 1, First: now, Last: now},
		{Cluster: "b", Reason: "no answer", Count: 2, First: began, Last: now},
	}
	if got := l.Recent(); !slices.Equal(got, want) {
		t.Errorf("recent are %v, want %v", got, want)
	}
	now = now.Add(Lately + 1)
	if got := l.Recent(); len(got) != 0 {
		t.Errorf("long after, recent are %v", got)
	}
	l.Add("b", "connection refused")
	if got := l.Recent(); len(got) != 1 || got[0].Count != 1 || !got[0].First.Equal(now) {
		t.Errorf("a failure after a pause counts on: %v", got)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	l := New()
	now := time.Unix(0, 0)
	l.now = func() time.Time { now = now.Add(time.Millisecond); return now }
	for i := range clustersMax + 10 {
		l.Add(fmt.Sprintf("c%04d", i), "connection refused")
	}
	got := l.Recent()
	if len(got) != clustersMax || got[0].Cluster != "c0010" {
		t.Errorf("%d clusters are remembered, from %s on", len(got), got[0].Cluster)
	}
	var none *Ledger
	none.Add("a", "b")
	if got := none.Recent(); got == nil || len(got) != 0 {
		t.Errorf("no ledger: %v", got)
	}
}

func TestMerge(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	got := Merge(
		[]Failure{{Cluster: "b", Reason: "late", Count: 1, First: at(5), Last: at(9)}},
		[]Failure{{Cluster: "a", Reason: "x", Count: 1, First: at(1), Last: at(1)}, {Cluster: "b", Reason: "early", Count: 2, First: at(2), Last: at(3)}},
	)
	want := []Failure{{Cluster: "a", Reason: "x", Count: 1, First: at(1), Last: at(1)}, {Cluster: "b", Reason: "late", Count: 3, First: at(2), Last: at(9)}}
	if !slices.Equal(got, want) {
		t.Errorf("merged: %v, want %v", got, want)
	}
}
