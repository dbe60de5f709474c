package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// documented is a block in a document that is the output of a command, named in a comment before it; behind a | may
// stand the one item of a JSON list that is shown: annotations[3].
var documented = regexp.MustCompile("(<!-- output of: postern ([^|>]+?)(?: \\| ([a-z]+)\\[([0-9]+)\\])? -->\n```[a-z]+\n)(?s:.*?)(```\n)")

// documentedMin is how many such blocks there are at least.
const documentedMin = 2

// TestDocumentedOutput: what the documents show is what the commands print. UPDATE=1 writes it anew.
func TestDocumentedOutput(t *testing.T) {
	t.Chdir("../..")
	found := 0
	err := filepath.WalkDir("docs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		now := documented.ReplaceAllFunc(text, func(block []byte) []byte {
			found++
			part := documented.FindSubmatch(block)
			return slices.Concat(part[1], output(t, string(part[2]), string(part[3]), string(part[4])), part[5])
		})
		if bytes.Equal(now, text) {
			return nil
		}
		if os.Getenv("UPDATE") == "1" {
			return os.WriteFile(path, now, 0o644)
		}
		t.Errorf("%s shows another output than the commands give; UPDATE=1 go test writes it anew", path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < documentedMin {
		t.Errorf("%d blocks are outputs, want %d at least", found, documentedMin)
	}
}

// output is what a command prints; of a list in it, where one is named, the item.
func output(t *testing.T, command, list, index string) []byte {
	t.Helper()
	out, errs, err := run(t, "", strings.Fields(command)...)
	if err != nil && !errors.Is(err, errFindings) {
		t.Fatalf("postern %s: %v: %s", command, err, errs)
	}
	if list == "" {
		return []byte(out)
	}
	var whole map[string]json.RawMessage
	var items []json.RawMessage
	err = json.Unmarshal([]byte(out), &whole)
	if err == nil {
		err = json.Unmarshal(whole[list], &items)
	}
	i, wrong := strconv.Atoi(index)
	if err := errors.Join(err, wrong); err != nil || i >= len(items) {
		t.Fatalf("postern %s: there is no %s[%d]: %v", command, list, i, err)
	}
	var item bytes.Buffer
	if err := json.Indent(&item, items[i], "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(item.Bytes(), '\n')
}
