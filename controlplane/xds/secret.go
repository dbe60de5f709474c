package xds

import (
	"runtime"
	"sync"
	"weak"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// secretNameField is the number of Secret.name in the proto.
const secretNameField = 1

// secretForm is a secret marshalled without its name, so that a certificate that serves many SNIs is marshalled once.
type secretForm struct {
	body    []byte
	version string
}

func (f *secretForm) wire(name string) *discoveryv3.Resource {
	body := protowire.AppendTag(make([]byte, 0, len(name)+len(f.body)+8), secretNameField, protowire.BytesType)
	body = append(protowire.AppendString(body, name), f.body...)
	return newWire(resource.SecretType, name, f.version, body)
}

// secretForms keeps the form of each secret message as long as the message is in use anywhere. With ten thousand names
// held by a proxy, hashing them all at each Publish would cost a tenth of a second.
var secretForms = formMemo{forms: map[weak.Pointer[tlsv3.Secret]]*secretForm{}}

type formMemo struct {
	mu    sync.Mutex
	forms map[weak.Pointer[tlsv3.Secret]]*secretForm // guarded by mu; an entry goes with its message
}

func (m *formMemo) get(secret *tlsv3.Secret) *secretForm {
	key := weak.Make(secret)
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.forms[key]; f != nil {
		return f
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&tlsv3.Secret{Type: secret.GetType()})
	if err != nil {
		panic("xds: an on-demand secret does not marshal") // Without the cause, which could quote the key.
	}
	f := &secretForm{body: body, version: versionOf(body)}
	m.forms[key] = f
	runtime.AddCleanup(secret, m.drop, key)
	return f
}

func (m *formMemo) drop(key weak.Pointer[tlsv3.Secret]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.forms, key)
}
