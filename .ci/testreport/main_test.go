package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `Building things
{"ImportPath":"x/bad","Action":"build-output","Output":"x/bad.go:1: wrong\n"}
{"Action":"start","Package":"x/a"}
{"Action":"output","Package":"x/a","Test":"TestSlow","Output":"=== RUN   TestSlow\n"}
{"Action":"output","Package":"x/a","Test":"TestSlow","Output":"    quiet because it passed\n"}
{"Action":"pass","Package":"x/a","Test":"TestSlow","Elapsed":2.5}
{"Action":"output","Package":"x/a","Test":"TestFails","Output":"    a_test.go:9: got \"1\"\n"}
{"Action":"fail","Package":"x/a","Test":"TestFails","Elapsed":0.1}
{"Action":"output","Package":"x/a","Test":"TestSkips","Output":"=== RUN   TestSkips\n"}
{"Action":"output","Package":"x/a","Test":"TestSkips","Output":"    a_test.go:5: no Envoy: run make envoy\n"}
{"Action":"output","Package":"x/a","Test":"TestSkips","Output":"--- SKIP: TestSkips (0.00s)\n"}
{"Action":"skip","Package":"x/a","Test":"TestSkips","Elapsed":0}
{"Action":"output","Package":"x/a","Test":"TestHangs","Output":"panic: time is up\n"}
{"Action":"output","Package":"x/a","Output":"FAIL\tx/a\t2.7s\n"}
{"Action":"fail","Package":"x/a","Elapsed":2.7}
{"Action":"output","Package":"x/b","Output":"PASS\n"}
{"Action":"output","Package":"x/b","Output":"ok  \tx/b\t0.1s\n"}
{"Action":"pass","Package":"x/b","Elapsed":0.1}
`

const printed = `Building things
x/bad.go:1: wrong
    a_test.go:9: got "1"
FAIL	x/a	2.7s
panic: time is up
ok  	x/b	0.1s

skipped tests:
  x/a.TestSkips: a_test.go:5: no Envoy: run make envoy

slowest tests:
     2.50s  x/a.TestSlow
     0.10s  x/a.TestFails
     0.00s  x/a.TestSkips
`

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "packages")
	if err := os.WriteFile(file, []byte("ok  \tearlier\t0.1s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	skipped, err := run(strings.NewReader(events), &out, file)
	if err != nil || skipped != 1 {
		t.Fatalf("%d skipped, %v", skipped, err)
	}
	if out.String() != printed {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), printed)
	}
	packages, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ok  \tearlier\t0.1s\nFAIL\tx/a\t2.7s\nok  \tx/b\t0.1s\n"; string(packages) != want {
		t.Errorf("packages:\n%s\nwant:\n%s", packages, want)
	}
}

func TestLongestLine(t *testing.T) {
	_, err := run(strings.NewReader(strings.Repeat("x", eventBytesMax+1)), &strings.Builder{}, filepath.Join(t.TempDir(), "p"))
	if err == nil {
		t.Error("a line over eventBytesMax was taken")
	}
}
