package main

import (
	"io"
	"os"
)

// A container is started for each call: stdin is the body, stdout the answer.
func serveDefault() error {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(greet(string(body)))
	return err
}
