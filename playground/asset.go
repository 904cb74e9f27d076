package playground

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// site holds the built files by their name, such as "playground/assets/main-1a2b3c4d.js". The name leaves out the .gz
// under which a file may be stored.
type site map[string]*asset

// asset is one built file, as stored. It is read-only.
type asset struct {
	content     []byte
	gzipped     bool  // content is compressed
	size        int64 // uncompressed
	contentType string
	etag        string // without quotes
	hashed      bool   // the name changes with the content
}

// contentTypes replaces the mime package, whose answer depends on the machine's own tables.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".svg":   "image/svg+xml",
	".ttf":   "font/ttf",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// newSite reads all files of root. It fails if it does not know a file's type, or if a compressed file has no valid
// gzip header.
func newSite(root fs.FS) (site, error) {
	s := site{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		plainName, gzipped := strings.CutSuffix(name, ".gz")
		a, err := newAsset(plainName, content, gzipped)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s[plainName] = a
		return nil
	})
	return s, err
}

func newAsset(name string, content []byte, gzipped bool) (*asset, error) {
	contentType, known := contentTypes[path.Ext(name)]
	if !known {
		return nil, fmt.Errorf("unknown file type %q, add it to contentTypes", path.Ext(name))
	}
	sum := sha256.Sum256(content)
	a := &asset{
		content:     content,
		gzipped:     gzipped,
		size:        int64(len(content)),
		contentType: contentType,
		etag:        hex.EncodeToString(sum[:12]),
		// The build puts only files that are named by their content into an assets folder.
		hashed: path.Base(path.Dir(name)) == "assets",
	}
	if gzipped {
		if _, err := gzip.NewReader(bytes.NewReader(content)); err != nil {
			return nil, err
		}
		// RFC 1952, section 2.3.1: the last four bytes are the size of the input.
		a.size = int64(binary.LittleEndian.Uint32(content[len(content)-4:]))
	}
	return a, nil
}

// serve answers a GET or HEAD with the file. It sends the file compressed if it is stored so and the client accepts
// that. It does not offer ranges.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	compressed := a.gzipped && acceptsGzip(r.Header)
	// The two encodings differ in their bytes, so a strong validator must differ too.
	etag := `"` + a.etag + `"`
	if a.gzipped {
		h.Set("Vary", "Accept-Encoding")
		if !compressed {
			etag = `"` + a.etag + `-identity"`
		}
	}
	h.Set("ETag", etag)
	if a.hashed {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if matches(r.Header, etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.contentType)
	length := a.size
	if compressed {
		h.Set("Content-Encoding", "gzip")
		length = int64(len(a.content))
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	if a.gzipped && !compressed {
		a.unpack(w)
		return
	}
	_, _ = w.Write(a.content) // a client that hangs up is not our problem
}

// unpack writes the uncompressed content. newAsset has checked the gzip header. If the content behind it is damaged,
// the client gets an answer that is cut short.
func (a *asset) unpack(w io.Writer) {
	unzip, err := gzip.NewReader(bytes.NewReader(a.content))
	if err != nil {
		return
	}
	_, _ = io.Copy(w, unzip)
}

// acceptsGzip reports whether the client accepts gzip (RFC 9110, section 12.5.3). A client that sends no
// Accept-Encoding header gets the content uncompressed.
func acceptsGzip(h http.Header) bool {
	named, other := -1.0, -1.0
	for _, line := range h.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(part, ";")
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				named = quality(params)
			case "*":
				other = quality(params)
			}
		}
	}
	if named >= 0 {
		return named > 0
	}
	return other > 0
}

// quality reads a weight, such as "q=0.5". It returns 1 if there is none, and 0 if the weight is not a number from 0 to
// 1.
func quality(params string) float64 {
	name, value, found := strings.Cut(strings.TrimSpace(params), "=")
	if !found || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

// matches reports whether the client already has this version. It compares weakly, as RFC 9110, section 13.1.2,
// requires for If-None-Match.
func matches(h http.Header, etag string) bool {
	for _, line := range h.Values("If-None-Match") {
		for candidate := range strings.SplitSeq(line, ",") {
			candidate = strings.TrimSpace(candidate)
			if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
				return true
			}
		}
	}
	return false
}
