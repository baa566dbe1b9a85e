// Command server is net/http's part of `make bench`: it answers /version with the bytes of a file.
//
//	server ADDRESS FILE
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: server ADDRESS FILE")
	}
	body, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body) // a client that has gone is no concern of the server's
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
