package bridgeclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// DefaultMaxMessageBytes is the largest request and reply; the server has its own limit.
const DefaultMaxMessageBytes = 256 << 20

const (
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	connectTimeout   = 5 * time.Second
)

// connection is what the views of a client share, and how it is made.
type connection struct {
	address  string
	key      string
	security *tls.Config
	maxBytes int
	dial     []grpc.DialOption
	defaults callOptions

	grpc *grpc.ClientConn
}

type connectOption func(*connection) error

func (o connectOption) connect(into *connection) error { return o(into) }

// WithKey has every call carry an API key: the key itself, env:NAME for that of an environment variable, or file:PATH for
// that of a file. Over a connection without TLS it travels in the clear.
func WithKey(key string) Option {
	return connectOption(func(c *connection) error {
		found, err := secret(key)
		c.key = found
		return err
	})
}

func secret(reference string) (string, error) {
	if name := strings.TrimPrefix(reference, "env:"); name != reference {
		found := os.Getenv(name)
		if found == "" {
			return "", fmt.Errorf("bridgeclient: expected an API key in the environment variable %s, it is not set", name)
		}
		return found, nil
	}
	if path := strings.TrimPrefix(reference, "file:"); path != reference {
		found, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("bridgeclient: the file with the API key: %w", err)
		}
		return strings.TrimSpace(string(found)), nil
	}
	return reference, nil
}

// TLS is how a connection is encrypted. All fields are paths of PEM files, but for the name.
type TLS struct {
	// CA has the certificates that the server's must be signed by; empty or "system" for those that the system trusts.
	CA string
	// Certificate and Key are the client's own, for servers that ask for one. They are read at each connecting, so
	// that they may be replaced.
	Certificate, Key string
	// ServerName is the name that the server's certificate must have; empty for that of the address.
	ServerName string
}

// WithTLS encrypts the connection, with TLS 1.2 or newer.
func WithTLS(files TLS) Option {
	return connectOption(func(c *connection) error {
		config, err := files.config()
		c.security = config
		return err
	})
}

// WithTLSConfig encrypts the connection as the configuration says.
func WithTLSConfig(config *tls.Config) Option {
	return connectOption(func(c *connection) error {
		c.security = config.Clone()
		return nil
	})
}

func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" && t.CA != "system" {
		data, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("bridgeclient: TLS.CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("bridgeclient: expected certificates as PEM in TLS.CA, got none in %s", t.CA)
		}
	}
	if (t.Certificate == "") != (t.Key == "") {
		return nil, fmt.Errorf("bridgeclient: expected both of TLS.Certificate and TLS.Key, or none, got one")
	}
	if t.Certificate == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, fmt.Errorf("bridgeclient: TLS.Certificate and TLS.Key: %w", err)
		}
		return &pair, nil
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	_, err := load()
	return config, err
}

// WithMaxMessageBytes sets the largest request and reply; DefaultMaxMessageBytes where it is not given.
func WithMaxMessageBytes(limit int) Option {
	return connectOption(func(c *connection) error {
		c.maxBytes = limit
		return nil
	})
}

// WithDialOptions passes options on to grpc-go; they come after the client's own.
func WithDialOptions(options ...grpc.DialOption) Option {
	return connectOption(func(c *connection) error {
		c.dial = append(c.dial, options...)
		return nil
	})
}

// open makes the channel, which connects at the first call.
func (c *connection) open() error {
	options := []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(c.maxBytes), grpc.MaxCallSendMsgSize(c.maxBytes),
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: connectTimeout,
		}),
	}
	target := c.address
	if path := strings.TrimPrefix(c.address, "unix:"); path != c.address {
		path = strings.TrimPrefix(path, "//")
		target = "passthrough:///localhost"
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	}
	if c.security != nil {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(c.security)))
	} else {
		options = append(options, grpc.WithInsecure()) //nolint:staticcheck // its successor is not in older grpc-go
	}
	opened, err := grpc.Dial(target, append(options, c.dial...)...) //nolint:staticcheck // as above
	if err != nil {
		return fmt.Errorf("bridgeclient: %s is no address to connect to: %w", c.address, err)
	}
	c.grpc = opened
	return nil
}

// reset lets the next call look for the server at once.
func (c *connection) reset() { c.grpc.ResetConnectBackoff() }
