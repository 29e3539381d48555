// A function that serves every format, whichever its route has: FN_FORMAT says which that is.
package main

import (
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	formats := map[string]func() error{
		"default":     serveDefault,
		"http":        serveHTTP,
		"json":        serveJSON,
		"http-stream": serveStream,
	}
	serve, known := formats[os.Getenv("FN_FORMAT")]
	if !known {
		log.Fatalf("the format %q is not served", os.Getenv("FN_FORMAT"))
	}
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

// greet answers a body, and writes a line to the log of the call.
func greet(body string) string {
	name := strings.TrimSpace(body)
	if name == "" {
		name = "world"
	}
	fmt.Fprintf(os.Stderr, "greeting %s\n", name)
	return fmt.Sprintf("Hello, %s!\n", name)
}
