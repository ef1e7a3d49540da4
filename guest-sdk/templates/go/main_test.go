package main

import (
	"testing"

	"sump.example/sump"
	"sump.example/sump/sumptest"
)

func TestAnEventWithAnIDIsWritten(t *testing.T) {
	sink := sumptest.Open(t, `{"prefix": "quake"}`)
	sink.Write(sumptest.Text(`{"id": 1}`), sumptest.Text(`{"id": "b"}`)).AssertWritten()
}

func TestWhatHasNoIDIsRejectedAlone(t *testing.T) {
	sink := sumptest.Open(t, `{}`)
	outcome := sink.Write(
		sumptest.Text(`{"id": 1}`), sumptest.Text("no json"), sumptest.Text("{}"), sumptest.Tombstone(),
	)
	outcome.AssertRefused(1, sump.KindRejected, "not-json")
	outcome.AssertRefused(2, sump.KindRejected, "no-id")
	outcome.AssertRefused(3, sump.KindRejected, "no-payload")
	if len(outcome.Written) != 1 {
		t.Errorf("written: %v", outcome.Written)
	}
}
