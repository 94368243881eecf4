//go:build ignore

// Measures stubs/go inside one process: bench ROWS ARTIFACT
// Commands on standard input, one answer per line: ready | load | one SECONDS | batch SECONDS | answers FILE (see ../worker.py).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"modelport"
)

const singles = 64

// readRows reads, per input, a line "name kind width rows", then one element per line. It returns the rows number first..first+n of them.
func readRows(path string) func(first, n int) map[string]any {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	type column struct {
		name    string
		width   int
		numbers []float64
		texts   []*string
	}
	columns := []column{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var kind string
		var rows int
		c := column{}
		if _, err := fmt.Sscan(lines.Text(), &c.name, &kind, &c.width, &rows); err != nil {
			log.Fatal("The rows file is damaged.")
		}
		for k := 0; k < rows*c.width && lines.Scan(); k++ {
			cell := lines.Text()
			if kind == "str" {
				c.texts = append(c.texts, &cell)
			} else {
				number, err := strconv.ParseFloat(cell, 64)
				if err != nil {
					log.Fatal(err)
				}
				c.numbers = append(c.numbers, number)
			}
		}
		columns = append(columns, c)
	}
	return func(first, n int) map[string]any {
		inputs := map[string]any{}
		for _, c := range columns {
			if size := (len(c.numbers) + len(c.texts)) / c.width; n < 0 || n > size {
				n = size
			}
			shape := []int{n, c.width}
			if c.width == 1 {
				shape = shape[:1]
			}
			if from, to := first*c.width, (first+n)*c.width; c.texts != nil {
				inputs[c.name] = modelport.Strings(c.texts[from:to], shape...)
			} else {
				inputs[c.name] = modelport.Floats(c.numbers[from:to], shape...)
			}
		}
		return inputs
	}
}

// repeated gives the seconds of one call, going round the inputs for at least so many seconds.
func repeated(model *modelport.Model, inputs []map[string]any, least float64) (float64, error) {
	started := time.Now()
	for done := 1; ; done++ {
		if _, err := model.PredictColumns(inputs[(done-1)%len(inputs)]); err != nil {
			return 0, err
		}
		if spent := time.Since(started).Seconds(); spent >= least {
			return spent / float64(done), nil
		}
	}
}

func answers(model *modelport.Model, inputs map[string]any, path string) error {
	outputs, err := model.PredictColumns(inputs)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, label := range outputs["label"].Integers() {
		fmt.Fprintln(&text, label)
	}
	for _, p := range outputs["probability"].Floats() {
		fmt.Fprintln(&text, strconv.FormatFloat(p, 'g', -1, 64))
	}
	return os.WriteFile(path, []byte(text.String()), 0o666)
}

func load(path string) (*modelport.Model, error) {
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modelport.LoadWith(document, modelport.Options{Threads: 1})
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: bench ROWS ARTIFACT")
	}
	runtime.GOMAXPROCS(1)
	rows := readRows(os.Args[1])
	batch, one := []map[string]any{rows(0, -1)}, []map[string]any{}
	for k := 0; k < singles; k++ {
		one = append(one, rows(k, 1))
	}
	var model *modelport.Model
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		var reply any
		var err error
		command, argument, _ := strings.Cut(commands.Text(), " ")
		seconds, _ := strconv.ParseFloat(argument, 64)
		switch {
		case command == "ready":
		case command == "load":
			started := time.Now()
			model, err = load(os.Args[2])
			reply = time.Since(started).Seconds()
		case model == nil:
			err = fmt.Errorf("There is no model.")
		case command == "one":
			reply, err = repeated(model, one, seconds)
		case command == "batch":
			reply, err = repeated(model, batch, seconds)
		case command == "answers":
			err = answers(model, batch[0], argument)
		default:
			err = fmt.Errorf("There is no command %s.", command)
		}
		if err != nil {
			reply = map[string]string{"error": err.Error()}
		}
		line, _ := json.Marshal(reply)
		fmt.Println(string(line))
	}
}
