package status

import (
	"cmp"
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// address is one element of status.loadBalancer.ingress: an IP or a host name.
type address struct{ ip, hostname string }

// sorted orders addresses, IPs first, and drops repetitions: equal sets are equal lists.
func sorted(list []address) []address {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b address) int {
		return cmp.Or(cmp.Compare(a.hostname, b.hostname), cmp.Compare(a.ip, b.ip))
	})
	return slices.Compact(out)
}

// serviceAddresses are where the clients of a Service reach it:
//   - LoadBalancer: what its load balancer has, else its externalIPs;
//   - NodePort and ClusterIP: its externalIPs, else its cluster IPs. Node addresses would be of no use: the gateway does
//     not answer there on 80 and 443 (--publish-address names nodes that have the ports open);
//   - ExternalName: its name.
//
// It is what ingress-nginx publishes (its --publish-service), but that a LoadBalancer's externalIPs stand in only.
func serviceAddresses(s *corev1.Service) []address {
	var out []address
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return []address{{hostname: s.Spec.ExternalName}}
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		for _, i := range s.Status.LoadBalancer.Ingress {
			if i.IP != "" || i.Hostname != "" {
				out = append(out, oneOf(i.IP, i.Hostname)...)
			}
		}
	}
	if len(out) == 0 {
		for _, ip := range s.Spec.ExternalIPs {
			out = append(out, address{ip: ip})
		}
	}
	if len(out) == 0 && s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		for _, ip := range s.Spec.ClusterIPs {
			if ip != corev1.ClusterIPNone {
				out = append(out, address{ip: ip})
			}
		}
	}
	return sorted(out)
}

// oneOf has the IP and the host name of one element as two, where a load balancer has both.
func oneOf(ip, hostname string) []address {
	var out []address
	if ip != "" {
		out = append(out, address{ip: ip})
	}
	if hostname != "" {
		out = append(out, address{hostname: hostname})
	}
	return out
}

// ingressAddresses are what an Ingress's status says now.
func ingressAddresses(i *networkingv1.Ingress) []address {
	var out []address
	for _, a := range i.Status.LoadBalancer.Ingress {
		out = append(out, oneOf(a.IP, a.Hostname)...)
	}
	return sorted(out)
}

// publisher is what is to be published now.
type publisher struct {
	mu        sync.Mutex
	addresses []address
	changed   chan struct{}
}

func newPublisher(fixed []address) *publisher {
	return &publisher{addresses: fixed, changed: make(chan struct{})}
}

// get is empty while nothing is known; then what was written stays.
func (p *publisher) get() ([]address, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addresses, p.changed
}

func (p *publisher) set(addresses []address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Equal(p.addresses, addresses) {
		return
	}
	p.addresses = addresses
	close(p.changed)
	p.changed = make(chan struct{})
}

// followService keeps the publisher at a Service's addresses until ctx ends. While the Service is not there, or has no
// address, the publisher is empty.
func (s *Status) followService(ctx context.Context, p *publisher) {
	name := s.options.PublishService
	factory := informers.NewSharedInformerFactoryWithOptions(s.client, 0, informers.WithNamespace(name.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name.Name).String()
		}))
	told := func(object any) {
		service, ok := object.(*corev1.Service)
		if !ok || service.Name != name.Name {
			return
		}
		addresses := serviceAddresses(service)
		if len(addresses) == 0 {
			s.log.Warn("the publishing Service has no address yet: the status of Ingresses stays as it is", "service", name.String())
		}
		p.set(addresses)
	}
	_, err := factory.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    told,
		UpdateFunc: func(_, now any) { told(now) },
		DeleteFunc: func(any) {
			s.log.Warn("the publishing Service is gone: the status of Ingresses stays as it is", "service", name.String())
			p.set(nil)
		},
	})
	if err != nil {
		panic("status: an informer that was never started takes no handler: " + err.Error())
	}
	factory.StartWithContext(ctx)
	<-ctx.Done()
	factory.Shutdown()
}
