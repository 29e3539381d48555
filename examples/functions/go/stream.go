package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// Requests come over a Unix socket, all of them POST /call. It has to be ready when it gets its name.
func serveStream() error {
	path := strings.TrimPrefix(os.Getenv("FN_LISTENER"), "unix:")
	listener, err := net.Listen("unix", path+".new")
	if err != nil {
		return err
	}
	if err := os.Chmod(path+".new", 0o666); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		response.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(response, greet(string(body)))
	}))
}
