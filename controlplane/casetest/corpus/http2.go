package corpus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// exchangeHTTP2 sends one request as frames, its header block as it is written, and says how its stream ends.
func exchangeHTTP2(conn net.Conn, r request) string {
	_ = conn.SetDeadline(time.Now().Add(answerMax))
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return ended
	}
	if err := writeHTTP2(framer, r); err != nil {
		return ended
	}
	decoder := hpack.NewDecoder(4096, nil)
	status := ""
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return waiting
		}
		if err != nil {
			return ended
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			fields, err := decoder.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				return "no HPACK"
			}
			for _, field := range fields {
				if field.Name == ":status" && !strings.HasPrefix(field.Value, "1") {
					status = field.Value
				}
			}
			if f.StreamEnded() {
				return status
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return status
			}
		case *http2.RSTStreamFrame:
			if status != "" {
				return status
			}
			return fmt.Sprintf("reset %s", f.ErrCode)
		case *http2.GoAwayFrame:
			return fmt.Sprintf("goaway %s", f.ErrCode)
		}
	}
}

func writeHTTP2(framer *http2.Framer, r request) error {
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	// One stream of one connection has no dynamic table worth having: every field is a literal.
	err := framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: headerBlock(r.fields), EndHeaders: true, EndStream: len(r.frames) == 0,
	})
	for i, f := range r.frames {
		if err != nil {
			return err
		}
		last := i == len(r.frames)-1
		switch f.kind {
		case "data":
			err = framer.WriteData(1, last, []byte(f.text))
		case "trailer":
			name, value, _ := strings.Cut(f.text, ": ")
			err = framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: 1, BlockFragment: headerBlock([][2]string{{name, value}}), EndHeaders: true, EndStream: last,
			})
		case "settings":
			err = framer.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
		default:
			return fmt.Errorf("%q is no kind of frame", f.kind)
		}
	}
	return err
}

func headerBlock(fields [][2]string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) // a bytes.Buffer takes everything
	}
	return block.Bytes()
}
