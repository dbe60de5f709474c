package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postern-gateway/postern/controlplane/options"
	"github.com/postern-gateway/postern/translator/model"
)

// The lines behind a file are comments, which Envoy passes over.
const (
	sumLine   = "# postern-model-sum: "
	modelLine = "# postern-model: "
	modelNote = "# What postern diff compares: the model behind this file without its secrets, and the sum of both.\n"
	// modelWidth is how much of the model stands in a line.
	modelWidth = 120
	// modelMax bounds the model as it is read, in bytes.
	modelMax = 512 << 20
)

// behind is what stands behind a file, as JSON.
type behind struct {
	options.Elsewhere
	Model json.RawMessage `json:"model"`
}

// WithModel is a File with the model that it was made of behind it, and by what it was made.
func WithModel(file []byte, g model.Gateway, by options.Elsewhere) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		err = json.NewEncoder(w).Encode(behind{Elsewhere: by, Model: model.Encode(g)})
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("pack the model: %w", err)
	}
	text := base64.StdEncoding.EncodeToString(packed.Bytes())
	var out bytes.Buffer
	out.Write(file)
	out.WriteString(modelNote + sumLine + sum(file, text) + "\n")
	for len(text) > 0 {
		n := min(len(text), modelWidth)
		out.WriteString(modelLine + text[:n] + "\n")
		text = text[n:]
	}
	return out.Bytes(), nil
}

// IsBootstrap says whether a text is a File, whatever became of it.
func IsBootstrap(text []byte) bool {
	return bytes.HasPrefix(text, []byte("# "+title)) || bytes.Contains(text, []byte("\nstatic_resources:"))
}

// ReadModel reads the model behind a file, and by what it was made. The error says in a sentence why there is
// none, or why it is not that of the file.
func ReadModel(text []byte) (model.Gateway, options.Elsewhere, error) {
	form, err := unpack(text)
	if err != nil {
		return model.Gateway{}, options.Elsewhere{}, err
	}
	var b behind
	if err := json.Unmarshal(form, &b); err != nil {
		return model.Gateway{}, options.Elsewhere{}, fmt.Errorf("read its model: %w", err)
	}
	g, err := model.Decode(b.Model)
	return g, b.Elsewhere, err
}

// unpack is what stands behind a file, where it belongs to it.
func unpack(text []byte) ([]byte, error) {
	file, rest, found := bytes.Cut(text, []byte(modelNote))
	if !found {
		return nil, errors.New("it has no model to compare: it was written by an earlier Postern, or lost its last lines; write it anew by postern translate -o bootstrap")
	}
	wrote, packed, ok := strings.Cut(string(rest), "\n")
	wrote, hasSum := strings.CutPrefix(wrote, sumLine)
	packed = strings.ReplaceAll(strings.ReplaceAll(packed, modelLine, ""), "\n", "")
	if !ok || !hasSum || wrote != sum(file, packed) {
		return nil, errors.New("it was edited after it was written, so that its model is not what Envoy does: write it anew by postern translate -o bootstrap")
	}
	b, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return nil, fmt.Errorf("read its model: %w", err)
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("unpack its model: %w", err)
	}
	form, err := io.ReadAll(io.LimitReader(r, modelMax))
	if err != nil {
		return nil, fmt.Errorf("unpack its model: %w", err)
	}
	return form, nil
}

// sum is equal for equal files with equal models.
func sum(file []byte, packed string) string {
	h := sha256.New()
	_, _ = h.Write(file)
	_, _ = h.Write([]byte(packed))
	return hex.EncodeToString(h.Sum(nil))
}
