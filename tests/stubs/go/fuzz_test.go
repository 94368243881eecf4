// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

package modelport

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds adds the files of a folder of the test to a corpus.
func seeds(f *testing.F, pattern string) [][]byte {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds: ", pattern)
	}
	found := [][]byte{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		found = append(found, text)
	}
	return found
}

// typed refuses errors of other types than those of the package, and the sentence that owns up to a fault.
func typed(t *testing.T, err error) {
	var refused *Refused
	var mismatch *Mismatch
	var unsupported *Unsupported
	if !errors.As(err, &refused) && !errors.As(err, &mismatch) && !errors.As(err, &unsupported) {
		t.Fatalf("an error of another type: %v", err)
	}
	if strings.Contains(err.Error(), "has a fault") || err.Error() == "" {
		t.Fatal(err)
	}
}

func limited(size int) Options {
	limits := DefaultLimits()
	limits.Memory = 16<<20 + 64*int64(size)
	limits.Multiplications = 1 << 24
	return Options{Limits: &limits, Threads: 1}
}

// FuzzLoad: a document is refused, or its model gives the carried answers, again and as text.
func FuzzLoad(f *testing.F) {
	for _, document := range seeds(f, "testdata/models/*.json") {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		model, err := LoadWith(document, limited(len(document)))
		if err != nil {
			typed(t, err)
			return
		}
		checks, err := model.Verify()
		if err != nil || len(checks) == 0 {
			t.Fatal("a model that has loaded does not verify: ", err)
		}
		for _, check := range checks {
			if !check.Passed {
				t.Fatal(check.Sentence)
			}
		}
		if info, err := parseText(model.Info()); err != nil || info.get("inputs") == nil {
			t.Fatal("no JSON: ", model.Info())
		}
	})
}

func parseText(text string) (value *node, err error) {
	defer catch(&err)
	limits := DefaultLimits()
	return parse([]byte(text), "The text", &guard{limits: &limits, left: limits.Memory}), nil
}

// FuzzPredict: a request is refused, or the answers are written as JSON, and are those of one goroutine and of several.
func FuzzPredict(f *testing.F) {
	documents := seeds(f, "testdata/models/*.json")
	models, shared := make([]*Model, len(documents)), make([]*Model, len(documents))
	for k, document := range documents {
		var err error
		if models[k], err = LoadWith(document, limited(len(document))); err != nil {
			f.Fatal(err)
		}
		options := limited(len(document))
		options.Threads = 3
		if shared[k], err = LoadWith(document, options); err != nil {
			f.Fatal(err)
		}
	}
	for k, request := range seeds(f, "testdata/requests/*.json") {
		f.Add(byte(k), request)
	}
	f.Fuzz(func(t *testing.T, number byte, request []byte) {
		k := int(number) % len(models)
		outputs, err := models[k].PredictJSON(request)
		if err != nil {
			typed(t, err)
			return
		}
		others, err := shared[k].PredictJSON(request)
		if err != nil {
			t.Fatal("goroutines refuse what one does not: ", err)
		}
		var text, other bytes.Buffer
		if outputs.WriteJSON(&text) != nil || others.WriteJSON(&other) != nil || text.String() != other.String() {
			t.Fatal("goroutines answer otherwise than one")
		}
		if _, err := parseText(text.String()); err != nil {
			t.Fatal(err)
		}
	})
}
