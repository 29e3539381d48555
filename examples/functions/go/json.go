package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
)

type request struct {
	Body string `json:"body"`
}

type response struct {
	Body     string   `json:"body"`
	Protocol protocol `json:"protocol"`
}

type protocol struct {
	StatusCode int                 `json:"status_code"`
	Headers    map[string][]string `json:"headers"`
}

// Requests are JSON objects on stdin, one after the other; each gets one on stdout.
func serveJSON() error {
	requests, responses := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var asked request
		err := requests.Decode(&asked)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		headers := map[string][]string{"Content-Type": {"text/plain; charset=utf-8"}}
		if err := responses.Encode(response{greet(asked.Body), protocol{200, headers}}); err != nil {
			return err
		}
	}
}
