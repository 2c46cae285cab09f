// Opens a note with golang.org/x/mod/sumdb/note under the Ed25519 vkeys given; prints how many lines it verified and ignored.
//
// usage: gonote NOTE VKEY...
package main

import (
	"fmt"
	"log"
	"os"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var known []note.Verifier
	for _, vkey := range os.Args[2:] {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			log.Fatal(err)
		}
		known = append(known, verifier)
	}
	opened, err := note.Open(data, note.VerifierList(known...))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(opened.Sigs), len(opened.UnverifiedSigs))
}
