//go:build ignore

// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT

// The command line of stubs/README.md around modelport.go: go build -o modelport-go main.go
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"modelport"
)

const help = "usage: predict ARTIFACT [--no-verify] < inputs.json > outputs.json | verify ARTIFACT [VECTORS] | info ARTIFACT | ops"

const done, mismatch, refused, usage = 0, 1, 2, 64

func main() {
	debug.SetGCPercent(400) // a short life: collecting less often is faster
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	code, err := command(os.Args[1:], out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		code = refused
		var coded interface{ ExitCode() int }
		if errors.As(err, &coded) {
			code = coded.ExitCode()
		}
		fmt.Fprintln(os.Stderr, err)
	} else if code == mismatch {
		fmt.Fprintln(os.Stderr, "The numbers do not match the vectors.")
	} else if code == usage {
		fmt.Fprintln(os.Stderr, help)
	}
	os.Exit(code)
}

// command runs one command and returns its exit code.
func command(args []string, out *bufio.Writer) (int, error) {
	rest, verified := []string{}, true
	for _, arg := range args {
		if arg == "--no-verify" && verified {
			verified = false
		} else {
			rest = append(rest, arg)
		}
	}
	if len(rest) == 0 {
		return usage, nil
	}
	name, rest := rest[0], rest[1:]
	switch {
	case name == "ops" && len(rest) == 0 && verified:
		for _, op := range modelport.Ops() {
			fmt.Fprintln(out, op)
		}
		return done, nil
	case name == "info" && len(rest) == 1 && verified:
		return info(rest[0], out)
	case name == "verify" && (len(rest) == 1 || len(rest) == 2) && verified:
		return verify(rest[0], rest[1:], out)
	case name == "predict" && len(rest) == 1:
		return predict(rest[0], verified, out)
	}
	return usage, nil
}

func info(artifact string, out *bufio.Writer) (int, error) {
	model, err := load(artifact, false)
	if err == nil {
		fmt.Fprintln(out, model.Info())
	}
	return done, err
}

func verify(artifact string, vectors []string, out *bufio.Writer) (int, error) {
	model, err := load(artifact, false)
	if err != nil {
		return refused, err
	}
	var checks []modelport.Check
	if len(vectors) == 0 {
		checks, err = model.Verify()
	} else {
		var document []byte
		if document, err = readFile(vectors[0]); err != nil {
			return refused, err
		}
		checks, err = model.VerifyWith(document)
	}
	code := done
	for _, check := range checks {
		fmt.Fprintln(out, check.Sentence)
		if !check.Passed {
			code = mismatch
		}
	}
	return code, err
}

func predict(artifact string, verified bool, out *bufio.Writer) (int, error) {
	model, err := load(artifact, verified)
	if err != nil {
		return refused, err
	}
	request, err := read(os.Stdin, "The request")
	if err != nil {
		return refused, err
	}
	outputs, err := model.PredictJSON(request)
	if err != nil {
		return refused, err
	}
	if err := outputs.WriteJSON(out); err != nil {
		return refused, err
	}
	fmt.Fprintln(out)
	return done, nil
}

func load(artifact string, verified bool) (*modelport.Model, error) {
	document, err := readFile(artifact)
	if err != nil {
		return nil, err
	}
	return modelport.LoadWith(document, modelport.Options{SkipReplay: !verified})
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("Reading failed: %w.", err)
	}
	defer file.Close()
	return read(file, path)
}

// read reads all bytes of a stream, which may be endless: it gives up beyond the size of a document.
func read(in io.Reader, what string) ([]byte, error) {
	most := modelport.DefaultLimits().DocumentBytes
	document, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("Reading failed: %w.", err)
	}
	if int64(len(document)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes.", what, most)
	}
	return document, nil
}
