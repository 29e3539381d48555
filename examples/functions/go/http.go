package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
)

// Requests come on stdin, one after the other; each gets its response on stdout.
func serveHTTP() error {
	requests, responses := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		request, err := http.ReadRequest(requests)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return err
		}
		answer := greet(string(body))
		response := http.Response{
			StatusCode:    http.StatusOK,
			ProtoMajor:    1,
			ProtoMinor:    1,
			Header:        http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
			ContentLength: int64(len(answer)),
			Body:          io.NopCloser(strings.NewReader(answer)),
		}
		if err := response.Write(responses); err != nil {
			return err
		}
		if err := responses.Flush(); err != nil {
			return err
		}
	}
}
