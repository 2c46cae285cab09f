// Checks a published log, an old checkpoint, a tlog-proof and a consistency proof with golang.org/x/mod/sumdb.
//
// usage: gocheck FOLDER OLD_CHECKPOINT PROOF ENTRY CONSISTENCY
//
// CONSISTENCY holds one base64 hash a line. One line is printed for each thing that holds.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type folder string

func (f folder) Height() int { return 8 }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), c2sp(t)))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func (f folder) SaveTiles(tiles []tlog.Tile, data [][]byte) {}

// c2sp is the path of a tile without the height that the Go checksum database has in it.
func c2sp(t tlog.Tile) string {
	path := t.Path()
	if !strings.HasPrefix(path, "tile/8/") {
		log.Fatalf("unexpected path %s", path)
	}
	return "tile/" + strings.TrimPrefix(path, "tile/8/")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func read(name string) []byte {
	data, err := os.ReadFile(name)
	must(err)
	return data
}

func open(data []byte, verifier note.Verifier) tlog.Tree {
	n, err := note.Open(data, note.VerifierList(verifier))
	must(err)
	if len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 1 {
		log.Fatalf("%d verified and %d unknown signatures, wanted one of each", len(n.Sigs), len(n.UnverifiedSigs))
	}
	lines := strings.Split(n.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: root}
}

func hashes(lines []string) []tlog.Hash {
	var out []tlog.Hash
	for _, line := range lines {
		h, err := tlog.ParseHash(line)
		must(err)
		out = append(out, h)
	}
	return out
}

func main() {
	dir := os.Args[1]
	vkeys := strings.Split(string(read(filepath.Join(dir, "log.vkeys"))), "\n")
	verifier, err := note.NewVerifier(vkeys[0])
	must(err)
	tree := open(read(filepath.Join(dir, "checkpoint")), verifier)
	fmt.Println("note", tree.N)

	reader := tlog.TileHashReader(tree, folder(dir))
	root, err := tlog.TreeHash(tree.N, reader)
	must(err)
	if root != tree.Hash {
		log.Fatal("the tiles lead to another root")
	}
	var tiles []tlog.Tile // of a partial tile NewTiles lists every width up to its own
	for _, t := range tlog.NewTiles(8, 0, tree.N) {
		if n := len(tiles); n > 0 && tiles[n-1].L == t.L && tiles[n-1].N == t.N {
			tiles = tiles[:n-1]
		}
		tiles = append(tiles, t)
	}
	_, err = folder(dir).ReadTiles(tiles)
	must(err)
	fmt.Println("tiles", len(tiles))

	var entries int64
	for _, t := range tiles {
		if t.L != 0 {
			continue
		}
		data := read(filepath.Join(dir, strings.Replace(c2sp(t), "tile/0/", "tile/entries/", 1)))
		for i := 0; i < t.W; i++ {
			length := int(binary.BigEndian.Uint16(data))
			body := data[2 : 2+length]
			data = data[2+length:]
			if entries%37 == 0 || entries == tree.N-1 {
				proof, err := tlog.ProveRecord(tree.N, entries, reader)
				must(err)
				must(tlog.CheckRecord(proof, tree.N, tree.Hash, entries, tlog.RecordHash(body)))
			}
			found, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, entries)})
			must(err)
			if found[0] != tlog.RecordHash(body) {
				log.Fatalf("entry %d is not the one in its tile", entries)
			}
			entries++
		}
		if len(data) != 0 {
			log.Fatal("bytes after the last entry of a bundle")
		}
	}
	fmt.Println("entries", entries)

	old := open(read(os.Args[2]), verifier)
	proof, err := tlog.ProveTree(tree.N, old.N, reader)
	must(err)
	must(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
	ours := tlog.TreeProof(hashes(strings.Fields(string(read(os.Args[5])))))
	must(tlog.CheckTree(ours, tree.N, tree.Hash, old.N, old.Hash))
	if len(ours) > 0 {
		ours[0][0] ^= 1
		if tlog.CheckTree(ours, tree.N, tree.Hash, old.N, old.Hash) == nil {
			log.Fatal("a changed consistency proof holds")
		}
	}
	fmt.Println("consistency", old.N, tree.N)

	head, signed, _ := bytes.Cut(read(os.Args[3]), []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	under := open(signed, verifier)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	must(err)
	path := tlog.RecordProof(hashes(lines[3:]))
	body := read(os.Args[4])
	must(tlog.CheckRecord(path, under.N, under.Hash, index, tlog.RecordHash(body)))
	body[0] ^= 1
	if tlog.CheckRecord(path, under.N, under.Hash, index, tlog.RecordHash(body)) == nil {
		log.Fatal("the proof holds for a changed entry")
	}
	fmt.Println("proof", index)
}
